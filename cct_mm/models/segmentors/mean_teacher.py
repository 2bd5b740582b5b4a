"""Mean Teacher (Tarvainen and Valpola, NeurIPS 2017): consistency with an averaged network."""

from mmseg.registry import MODELS
from torch import Tensor

from cct_mm.models.domain import Domain
from cct_mm.models.progress import NeedsProgress
from cct_mm.schedules import RampUp

from .batch import Batch
from .multi_domain import MultiDomainSegmentor, Needs
from .teacher import WithTeacher


@MODELS.register_module()
class MeanTeacher(NeedsProgress, WithTeacher, MultiDomainSegmentor):
    """Supervised training, plus consistency of a student with its own moving average.

    The teacher sees the unlabeled images as they are, the student another view of them; the student
    learns to predict what the teacher does. The teacher is what is validated and tested.

    Args:
        decay: Weight a of the old average in each step, in (0, 1).
        unsupervised_weight: :class:`RampUp` of the consistency loss.
        loss_consistency: Config of the distance d between the two predictions, a
            ``ConsistencyLoss`` without ``type``.
        view: Name of the view that the student gets; the transform ``AddView`` in the pipeline of
            the unlabeled images makes it.
        **kwargs: As for :class:`MultiDomainSegmentor`.

    Raises:
        ValueError: If ``decay`` is out of range, or ``teacher`` is given.
    """

    def __init__(
        self,
        *,
        decay: float = 0.99,
        unsupervised_weight: dict = {'final': 30.0},  # noqa: B006
        loss_consistency: dict = {'type': 'ConsistencyLoss'},  # noqa: B006
        view: str = 'strong',
        **kwargs,
    ) -> None:
        if 'teacher' in kwargs:
            raise ValueError(
                f'MeanTeacher: teacher is {kwargs["teacher"]}, expected no such entry, because it '
                'always has one; set model.decay'
            )
        super().__init__(teacher=dict(decay=decay), **kwargs)
        self.view_name = view
        self.needs = Needs(unlabeled=True, views=(view,))
        self.unsupervised_weight = RampUp(**unsupervised_weight)
        self.loss_consistency = MODELS.build({'type': 'ConsistencyLoss', **loss_consistency})

    def loss_of_batches(
        self, domain: Domain, labeled: Batch, unlabeled: Batch
    ) -> dict[str, Tensor]:
        """L = L_s + w(t) d(teacher(x), student(view of x)), with unlabeled images x."""
        seen = self.view(unlabeled, self.view_name)
        # Else the view comes later, so that dropout draws as it always has.
        self.encode(labeled, *([seen] if self.joint_encoding else []))
        losses = self.loss_labeled(domain, labeled)
        if len(unlabeled):
            target = self.target(domain, unlabeled)  # [B, C, H, W]
            if not self.joint_encoding:
                self.encode(seen)
            logits = domain.logits(seen.features, seen.size).float()  # [B, C, H, W]
            weight = self.loss_consistency.position_weight(target, unlabeled.valid())  # [B, H, W]
            loss = self.loss_consistency(target, logits, weight)
            losses['loss_unsupervised'] = self.unsupervised_weight(self.progress) * loss
        return losses
