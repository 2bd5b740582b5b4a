"""Cross pseudo supervision (Chen et al., CVPR 2021): two networks label images for each other."""

from collections.abc import Sequence

import torch
from mmseg.registry import MODELS
from mmseg.utils import add_prefix
from torch import Tensor

from cct_mm.models.domain import Domain
from cct_mm.models.losses import weak_cross_entropy
from cct_mm.models.losses.average import mean_weight
from cct_mm.models.mmseg_weights import take_weights
from cct_mm.models.norm import statistics_kept
from cct_mm.models.progress import NeedsProgress
from cct_mm.schedules import RampUp

from .batch import Batch
from .multi_domain import MultiDomainSegmentor, Needs


@MODELS.register_module()
class CrossPseudoSupervision(NeedsProgress, MultiDomainSegmentor):
    """Supervised training of two networks, each of which labels all images for the other.

    The networks differ in the random weights that they start from: those of neck and heads, where
    the backbone is pretrained. Each learns from the labels, and by cross-entropy from the other's
    most probable class at each pixel of the labeled and the unlabeled images; all pixels but
    padding count alike. The first network is what is validated and tested.

    Args:
        unsupervised_weight: :class:`RampUp` of the cross-entropy between the networks.
        **kwargs: As for :class:`MultiDomainSegmentor`.
    """

    needs = Needs(unlabeled=True)

    def __init__(
        self,
        *,
        unsupervised_weight: dict = {'final': 1.5},  # noqa: B006
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.unsupervised_weight = RampUp(**unsupervised_weight)
        # Forked, so that whatever is drawn later starts as in the supervised baseline. Weights of
        # a whole network, init_cfg, are the first one's: with the same, the two would never differ.
        with torch.random.fork_rng(devices=[]):
            self.second = MultiDomainSegmentor(**{**kwargs, 'init_cfg': None})

    def init_weights(self) -> None:
        """Draw or load the weights of the first network as the baseline's, then the second's."""
        self.second.is_init = True
        super().init_weights()
        self.second.is_init = False
        with torch.random.fork_rng(devices=[]):
            self.second.init_weights()

    def loss_of_batches(
        self, domain: Domain, labeled: Batch, unlabeled: Batch
    ) -> dict[str, Tensor]:
        """L = L_s + L_s' + w(t) (H(argmax y', y) + H(argmax y, y')), y' of the second network."""
        others = [Batch(batch.images, batch.samples) for batch in (labeled, unlabeled)]
        self.encode(labeled, unlabeled)
        losses = self.loss_labeled(domain, labeled)
        with self.second.active(domain.name) as second:
            self.second.encode(*others)
            losses |= add_prefix(self.second.loss_labeled(second, others[0]), 'second')
            return losses | self.loss_unlabeled(domain, second, [labeled, unlabeled], others)

    def loss_unlabeled(
        self, domain: Domain, second: Domain, batches: Sequence[Batch], others: Sequence[Batch]
    ) -> dict[str, Tensor]:
        """Return what the networks teach each other, a loss for each.

        Args:
            domain: The domain in the first network.
            second: The same domain in the second network.
            batches: Labeled and unlabeled images as the first network has encoded them; at least
                one batch is not empty.
            others: The same images as the second network has encoded them.
        """
        logits = _logits(domain, batches)  # [B, C, H, W]
        others_logits = _logits(second, others)  # [B, C, H, W]
        valid = torch.cat([batch.valid() for batch in batches if len(batch)])  # [B, 1, H, W]
        weight = mean_weight(valid.squeeze(1))  # [B, H, W]
        ramp = self.unsupervised_weight(self.progress)
        first_loss = weak_cross_entropy(logits, others_logits.argmax(dim=1), weight)
        second_loss = weak_cross_entropy(others_logits, logits.argmax(dim=1), weight)
        return {
            'loss_unsupervised': ramp * first_loss,
            'second.loss_unsupervised': ramp * second_loss,
        }

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, local_metadata: dict, *args
    ) -> None:
        """Let both networks take the encoder's backbone from a checkpoint of another method."""
        take_weights(self, state_dict, prefix, local_metadata)
        if not any(key.startswith(f'{prefix}second.') for key in state_dict):
            copies = {
                f'{prefix}second.{key[len(prefix) :]}': x
                for key, x in state_dict.items()
                if key.startswith(f'{prefix}backbone.')
            }
            state_dict.update(copies)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)


def _logits(domain: Domain, batches: Sequence[Batch]) -> Tensor:
    """Return a network's logits of all images, [B, C, H, W], in float32.

    Args:
        domain: The domain in the network.
        batches: The labeled images, which the head has seen once for L_s, so that its batch norms
            know them already, and the unlabeled ones.
    """
    labeled, unlabeled = batches
    logits = []
    if len(labeled):
        with statistics_kept(domain.decode_head):
            logits.append(domain.logits(labeled.features, labeled.size).float())
    if len(unlabeled):
        logits.append(domain.logits(unlabeled.features, unlabeled.size).float())
    return torch.cat(logits)
