"""Mean Teacher (Tarvainen and Valpola, NeurIPS 2017): consistency with an averaged network."""

import torch
from mmengine.model import ExponentialMovingAverage
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from cct_mm.models.domain import Domain
from cct_mm.models.progress import NeedsProgress
from cct_mm.schedules import RampUp

from .batch import Batch
from .multi_domain import MultiDomainSegmentor, Needs


class _Teacher(ExponentialMovingAverage):
    """The average of the student's weights and norm statistics over training steps."""

    def avg_func(self, averaged_param: Tensor, source_param: Tensor, steps: int) -> None:
        # Over the first steps it is the plain mean, as in the authors' code: the beginning, when
        # the student knows least, does not stay in the average for long.
        averaged_param.lerp_(source_param, max(self.momentum, 1 / (int(steps) + 1)))


@MODELS.register_module()
class MeanTeacher(NeedsProgress, MultiDomainSegmentor):
    """Supervised training, plus consistency of a student with its own moving average.

    The teacher sees the images as they are, the student another view of them; the student learns
    to predict what the teacher does. The teacher is what is validated and tested.

    Args:
        decay: Weight of the old average in each step, in (0, 1).
        unsupervised_weight: :class:`RampUp` of the consistency loss.
        loss_consistency: Config of the distance between the two predictions.
        view: Name of the view that the student gets, from the transform ``AddView`` in the
            pipeline of the unlabeled images.
        **kwargs: As for :class:`MultiDomainSegmentor`.

    Raises:
        ValueError: If ``decay`` is out of range.
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
        super().__init__(**kwargs)
        if not 0 < decay < 1:
            raise ValueError(f'MeanTeacher: decay is {decay}, expected a number in (0, 1): 0.99')
        self.needs = Needs(unlabeled=True, views=(view,))
        self.unsupervised_weight = RampUp(**unsupervised_weight)
        self.loss_consistency = MODELS.build(loss_consistency)
        self.teacher = _Teacher(self, momentum=1 - decay, update_buffers=True)

    def init_weights(self) -> None:
        """Draw or load the student's weights; the teacher starts as its copy."""
        teacher, self.teacher = self.teacher, torch.nn.Identity()
        super().init_weights()
        self.teacher = teacher
        self.after_step()

    def after_step(self) -> None:
        """Move the teacher: theta' = a theta' + (1 - a) theta; it starts as a copy of theta."""
        self.teacher.update_parameters(self)

    def train(self, mode: bool = True) -> 'MeanTeacher':
        """Switch the student to training; the teacher always predicts as in evaluation."""
        super().train(mode)
        if hasattr(self, 'teacher'):
            self.teacher.eval()
        return self

    def loss_of_batches(
        self, domain: Domain, labeled: Batch, unlabeled: Batch
    ) -> dict[str, Tensor]:
        """L = L_s + w(t) d(teacher(x), student(view of x)) on the unlabeled images x."""
        self.encode(labeled)
        losses = self.loss_labeled(domain, labeled)
        if not len(unlabeled):
            return losses
        seen = self.view(unlabeled, self.needs.views[0])
        self.encode(seen)
        logits = domain.logits(seen.features, seen.size).float()  # [B, C, H, W]
        target = self.predict_target(domain.name, unlabeled)  # [B, C, H, W]
        weight = self.loss_consistency.position_weight(target, unlabeled.valid())  # [B, H, W]
        loss = self.loss_consistency(target, logits, weight)
        return losses | {'loss_unsupervised': self.unsupervised_weight(self.progress) * loss}

    @torch.no_grad()
    def predict_target(self, domain: str, batch: Batch) -> Tensor:
        """Return the teacher's class probabilities of a domain's images, [B, C, H, W]."""
        with self.teacher.module.active(domain) as teacher:
            features = self.teacher.module.extract_feat(batch.images)
            return teacher.logits(features, batch.size).float().softmax(dim=1)

    def predict(
        self, inputs: Tensor, data_samples: list[SegDataSample] | None = None
    ) -> list[SegDataSample]:
        """Segment images by the teacher, see :meth:`MultiDomainSegmentor.predict`."""
        return super(MeanTeacher, self.teacher.module).predict(inputs, data_samples)
