"""Pseudo-labels made online (Lee, ICML workshop 2013; the paper's reference [31])."""

from mmseg.registry import MODELS
from torch import Tensor

from cct_mm.labels import IGNORE_INDEX
from cct_mm.models.domain import Domain
from cct_mm.models.losses import weak_cross_entropy
from cct_mm.models.losses.average import mean_weight
from cct_mm.models.progress import NeedsProgress
from cct_mm.schedules import RampUp

from .batch import Batch
from .multi_domain import MultiDomainSegmentor, Needs


@MODELS.register_module()
class PseudoLabeling(NeedsProgress, MultiDomainSegmentor):
    """Supervised training, plus labels that the network gives the unlabeled images itself.

    At each iteration the main head's most probable class is the label of a pixel, where its
    probability is above a threshold; the main head learns it by cross-entropy. The loss is the sum
    over these pixels divided by the number of all pixels, padding left out. So it grows with what
    the network is sure of: the first few pixels above the threshold do not weigh as much as a
    whole image.

    Args:
        confidence: The threshold, in [0, 1); 0 labels every pixel, as Lee does.
        unsupervised_weight: :class:`RampUp` of the cross-entropy.
        **kwargs: As for :class:`MultiDomainSegmentor`.

    Raises:
        ValueError: If ``confidence`` is out of range.
    """

    needs = Needs(unlabeled=True)

    def __init__(
        self,
        *,
        confidence: float = 0.95,
        unsupervised_weight: dict = {'final': 1.0},  # noqa: B006
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        if not 0 <= confidence < 1:
            raise ValueError(
                f'PseudoLabeling: confidence is {confidence}, expected a probability in [0, 1), '
                'e.g. 0.95; 0 labels every pixel'
            )
        self.confidence = confidence
        self.unsupervised_weight = RampUp(**unsupervised_weight)

    def loss_of_batches(
        self, domain: Domain, labeled: Batch, unlabeled: Batch
    ) -> dict[str, Tensor]:
        """L = L_s + w(t) H(argmax y^u, y^u), where max y^u is above the threshold."""
        self.encode(labeled, unlabeled)
        losses = self.loss_labeled(domain, labeled)
        return losses | self.loss_unlabeled(domain, unlabeled)

    def loss_unlabeled(self, domain: Domain, unlabeled: Batch) -> dict[str, Tensor]:
        """Return the loss, and for the log the percentage of pixels that got a label.

        Without unlabeled images there is neither.
        """
        if not len(unlabeled):
            return {}
        logits = domain.logits(unlabeled.features, unlabeled.size).float()  # [B, C, H, W]
        prob = domain.predict_target(unlabeled.features, unlabeled.size)  # [B, C, H, W]
        confidence, labels = prob.max(dim=1)  # [B, H, W]
        sure = confidence > self.confidence
        weight = mean_weight(unlabeled.valid().squeeze(1))  # [B, H, W]
        loss = weak_cross_entropy(logits, labels.where(sure, IGNORE_INDEX), weight)
        return {
            'loss_unsupervised': self.unsupervised_weight(self.progress) * loss,
            'labeled_pixels': 100 * (weight * sure).sum(),
        }
