"""Adversarial alignment of the domains' features: discriminator g_d (Supplement E, Table 8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from mmengine.dist import broadcast_object_list
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from cct_mm.models.losses.average import mean_weight
from cct_mm.models.progress import NeedsProgress
from cct_mm.schedules import RampUp

if TYPE_CHECKING:
    from .domain import Domain
    from .segmentors.batch import Batch


class _ReverseGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, z: Tensor, weight: float) -> Tensor:
        ctx.weight = weight
        return z.view_as(z)

    @staticmethod
    def backward(ctx, grad: Tensor):
        return -ctx.weight * grad, None


def reverse_gradient(z: Tensor, weight: float) -> Tensor:
    """Return z; backward, the gradient is multiplied by ``-weight`` (gradient reversal layer)."""
    return _ReverseGradient.apply(z, weight)


@MODELS.register_module()
class DomainDiscriminator(NeedsProgress, BaseModule):
    r"""Tells at each position of z which domain it comes from, while the encoder learns to hide it.

    .. math:: L_{adv} = \frac{1}{N} \sum_{d=1}^{N} \frac{1}{|D^{(d)}|}
              \sum_{z \in D^{(d)}} -\log g_d(z)_d

    Eq. 11 as printed is no cross-entropy: its second term is 1 - log(p), where p is the probability
    of the wrong domain, and it knows two domains. This is the cross-entropy that it stands for, for
    any number N of domains.

    An iteration trains one domain, and a discriminator that is shown one domain at a time learns to
    always say its name. So the other domains take part with the features of their latest iteration,
    kept in a queue without gradient: the discriminator learns from all domains in every step, the
    encoder from the domain of the iteration.

    lambda_adv acts in the gradient reversal: the discriminator learns at its full rate, and only
    what reaches the encoder is scaled.

    Args:
        domains: Names of the domains; the segmentor fills them in.
        in_channels: Channels D of z; the segmentor fills them in, too.
        channels: Of the 3x3 convolutions (Table 8).
        weight: :class:`RampUp` of lambda_adv; 0.02 from the start in the paper.
        queue_images: Number of images of each batch, >= 0, whose features a process keeps for the
            other domains' iterations. They are spread evenly over the batch, labeled and unlabeled
            (two images: the first and the last). Checkpoints hold the queue of the first process,
            from which all processes go on.

    Raises:
        ValueError: For fewer than two domains.
    """

    def __init__(
        self,
        domains: Sequence[str],
        in_channels: int,
        channels: Sequence[int] = (64, 128, 256, 512),
        weight: dict = {'final': 0.02, 'length': 0.0},  # noqa: B006
        queue_images: int = 2,
    ) -> None:
        super().__init__()
        if len(domains) < 2:
            raise ValueError(
                f'DomainDiscriminator: the model has the domain {list(domains)} alone, expected at '
                'least two to tell apart; remove `discriminator` from the model'
            )
        self.domains = list(domains)
        self.weight = RampUp(**weight)
        self.queue_images = queue_images
        layers, width = [], in_channels
        for out in channels:
            layers += [nn.Conv2d(width, out, 3, padding=1), nn.LeakyReLU(0.2)]
            width = out
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, len(self.domains), 1))
        # Saved with the weights, so that a resumed run goes on with the same features.
        for name in self.domains:
            self.register_buffer(f'queue_{name}', torch.zeros(0, in_channels, 1, 1))
            self.register_buffer(f'queue_valid_{name}', torch.zeros(0, 1, 1, 1))

    def forward(self, z: Tensor) -> Tensor:
        """Return the logits of the domains.

        Shape:
            - z: [B, D, h, w]
            - output: [B, N, h, w]
        """
        return self.layers(z)

    def loss(self, domain: str, z: Tensor, valid: Tensor) -> dict[str, Tensor]:
        """Return L_adv, and the discriminator's accuracy for the log.

        Args:
            domain: Of this iteration.
            z: The encoder's output for all its images, labeled and unlabeled, with gradient.
            valid: False on padding.

        Shape:
            - z: [B, D, h, w]
            - valid: [B, 1, H, W]

        Raises:
            ValueError: If z has other channels than the discriminator.
        """
        channels = self.layers[0].in_channels
        if z.shape[1] != channels:
            raise ValueError(
                f'discriminator: z of domain {domain} has {z.shape[1]} channels, expected the '
                f'in_channels={channels} of model.discriminator; remove in_channels there, it '
                'follows from the network'
            )
        # Not in z's type: float16 counts no more than 65504 positions.
        valid = F.interpolate(valid.float(), z.shape[2:], mode='nearest')
        shown = {domain: (reverse_gradient(z, self.weight(self.progress)), valid)}
        for name in self.domains:
            if name != domain and len(getattr(self, f'queue_{name}')):
                shown[name] = (
                    getattr(self, f'queue_{name}'),
                    getattr(self, f'queue_valid_{name}'),
                )
        losses, accuracies = zip(*(self._tell(name, *x) for name, x in shown.items()), strict=True)
        # Labeled images come first, unlabeled ones last.
        count = min(self.queue_images, len(z))
        kept = torch.linspace(0, len(z) - 1, count, device=z.device).round().long()
        setattr(self, f'queue_{domain}', z.detach()[kept])
        setattr(self, f'queue_valid_{domain}', valid[kept])
        return {
            'loss_adversarial': torch.stack(losses).mean(),
            'discriminator_accuracy': torch.stack(accuracies).mean(),
        }

    def _tell(self, name: str, z: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Return cross-entropy and accuracy (in percent) on one domain's features."""
        logits, valid = self(z.to(self.layers[0].weight.dtype)).float(), valid[:, 0]
        index = self.domains.index(name)
        weight = mean_weight(valid)
        loss = -(logits.log_softmax(dim=1)[:, index] * weight).sum()
        right = logits.detach().argmax(dim=1) == index
        return loss, 100 * (right * weight).sum()

    def share_queues(self) -> None:
        """Let all processes go on with the first one's queues, as if they had resumed from it."""
        shared = [{name: queue.cpu() for name, queue in self.named_buffers(recurse=False)}]
        broadcast_object_list(shared)
        for name, queue in list(self.named_buffers(recurse=False)):
            setattr(self, name, shared[0][name].to(queue.device))

    def in_checkpoint(self, state_dict: dict, prefix: str) -> str | None:
        """Describe the discriminator in a checkpoint: its domains in order, and its channels.

        Args:
            state_dict: The weights.
            prefix: Of the discriminator's.

        Returns:
            The description, to be compared with :meth:`describe`; None if there is none.
        """
        start = f'{prefix}queue_'
        names = [key.removeprefix(start) for key in state_dict if key.startswith(start)]
        domains = [name for name in names if f'valid_{name}' in names]
        if not domains:
            return None
        channels = state_dict[f'{prefix}layers.0.weight'].shape[1]
        return f'{channels} channels of domains {domains}'

    def describe(self) -> str:
        """Describe this discriminator, see :meth:`in_checkpoint`."""
        return f'{self.layers[0].in_channels} channels of domains {self.domains}'

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        """Give the queues the shapes they have in a checkpoint; ignore that of other domains.

        The rows of the last layer are numbered, not named: the weights of a discriminator for other
        domains would be loaded silently, because their shapes may fit.
        """
        if self.in_checkpoint(state_dict, prefix) not in (None, self.describe()):
            for key in [key for key in state_dict if key.startswith(prefix)]:
                del state_dict[key]
        for name, buffer in list(self.named_buffers(recurse=False)):
            if prefix + name in state_dict:
                room = torch.empty_like(state_dict[prefix + name], device=buffer.device)
                setattr(self, name, room)
        super()._load_from_state_dict(state_dict, prefix, *args)


class WithDiscriminator:
    """Part of a method that may align the domains' features: adds L_adv to a segmentor.

    It is a mixin of :class:`~cct_mm.models.segmentors.MultiDomainSegmentor`; the method calls
    :meth:`loss_adversarial`.

    Args:
        discriminator: Config of a :class:`DomainDiscriminator`, or None.
        **kwargs: As for the segmentor.
    """

    def __init__(self, *, discriminator: dict | None = None, **kwargs) -> None:
        super().__init__(**kwargs)
        self.discriminator = None
        if discriminator is not None:
            # Forked, so that whatever is drawn later starts as without it.
            with torch.random.fork_rng(devices=[]):
                config = {'type': 'DomainDiscriminator', **discriminator}
                if 'in_channels' not in config:
                    config['in_channels'] = self._channels_of_z()
                self.discriminator = MODELS.build({**config, 'domains': list(self.domains)})

    def _channels_of_z(self) -> int:
        # Norms ask for a domain, and maps have the same channels in all.
        with self.active(next(iter(self.domains))):
            maps = self.encoder_maps().maps
        channels = {name: domain.z(maps).shape[1] for name, domain in self.domains.items()}
        if len(set(channels.values())) > 1:
            raise ValueError(
                f'discriminator: z has {channels} channels, expected the same in all domains, '
                'which it tells apart; give them the same z_index'
            )
        return next(iter(channels.values()))

    def loss_adversarial(self, domain: Domain, *batches: Batch) -> dict[str, Tensor]:
        """L_adv (Eq. 11) on all encoded images of the iteration; nothing without a discriminator.

        Args:
            domain: Their domain.
            *batches: Labeled and unlabeled images with their features.
        """
        batches = [batch for batch in batches if len(batch)]
        if self.discriminator is None or not batches:
            return {}
        z = torch.cat([domain.z(batch.features) for batch in batches])  # [B, D, h, w]
        valid = torch.cat([batch.valid() for batch in batches])  # [B, 1, H, W]
        return self.discriminator.loss(domain.name, z, valid)
