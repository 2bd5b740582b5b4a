"""Entropy minimization (Grandvalet and Bengio, NeurIPS 2005; the paper's reference [19])."""

from mmseg.registry import MODELS
from torch import Tensor

from cct_mm.models.domain import Domain
from cct_mm.models.losses.average import mean_weight
from cct_mm.models.progress import NeedsProgress
from cct_mm.schedules import RampUp

from .batch import Batch
from .multi_domain import MultiDomainSegmentor, Needs


@MODELS.register_module()
class EntropyMinimization(NeedsProgress, MultiDomainSegmentor):
    r"""Supervised training, plus certain predictions on unlabeled images.

    The unsupervised loss is the entropy :math:`-\sum_c y_c \log y_c` of the main head's prediction,
    in nats, averaged over the pixels of the unlabeled images, padding left out.

    Args:
        unsupervised_weight: :class:`RampUp` of the entropy.
        **kwargs: As for :class:`MultiDomainSegmentor`.
    """

    needs = Needs(unlabeled=True)

    def __init__(
        self,
        *,
        unsupervised_weight: dict = {'final': 0.1},  # noqa: B006
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.unsupervised_weight = RampUp(**unsupervised_weight)

    def loss_of_batches(
        self, domain: Domain, labeled: Batch, unlabeled: Batch
    ) -> dict[str, Tensor]:
        """L = L_s + w(t) H(y^u)."""
        self.encode(labeled, unlabeled)
        losses = self.loss_labeled(domain, labeled)
        return losses | self.loss_unlabeled(domain, unlabeled)

    def loss_unlabeled(self, domain: Domain, unlabeled: Batch) -> dict[str, Tensor]:
        """Return w(t) H(y^u), the mean over pixels; nothing without unlabeled images."""
        if not len(unlabeled):
            return {}
        logits = domain.logits(unlabeled.features, unlabeled.size).float()  # [B, C, H, W]
        log_prob = logits.log_softmax(dim=1)
        entropy = -(log_prob.exp() * log_prob).sum(dim=1)  # [B, H, W]
        loss = (entropy * mean_weight(unlabeled.valid().squeeze(1))).sum()
        return {'loss_unsupervised': self.unsupervised_weight(self.progress) * loss}
