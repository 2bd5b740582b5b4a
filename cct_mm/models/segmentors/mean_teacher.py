"""Mean Teacher (Tarvainen and Valpola, NeurIPS 2017): consistency with an averaged network."""

import torch
from mmseg.registry import MODELS
from torch import Tensor

from cct_mm.models.domain import Domain
from cct_mm.models.mmseg_weights import take_weights
from cct_mm.models.progress import NeedsProgress
from cct_mm.schedules import RampUp

from .batch import Batch
from .multi_domain import MultiDomainSegmentor, Needs


@MODELS.register_module()
class MeanTeacher(NeedsProgress, MultiDomainSegmentor):
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
        self.decay = decay
        self.view_name = view
        self.needs = Needs(unlabeled=True, views=(view,))
        self.unsupervised_weight = RampUp(**unsupervised_weight)
        self.loss_consistency = MODELS.build({'type': 'ConsistencyLoss', **loss_consistency})
        # Forked, so that whatever is drawn later starts as in the supervised baseline.
        with torch.random.fork_rng(devices=[]):
            self.teacher = MultiDomainSegmentor(**kwargs).requires_grad_(False)
        self.register_buffer('steps', torch.tensor(0))
        self._copy_to_teacher()

    def init_weights(self) -> None:
        """Draw or load the weights of the student; the teacher starts as its copy."""
        self.teacher.is_init = True
        super().init_weights()
        self._copy_to_teacher()

    def _copy_to_teacher(self) -> None:
        self.teacher.load_state_dict(self.state_dict(), strict=False)

    @torch.no_grad()
    def after_step(self) -> None:
        """Move the teacher: theta' = a theta' + (1 - a) theta, norm statistics included.

        Over the first steps a is smaller, 1 - 1 / (t + 1), so that theta' is the plain mean and the
        beginning, when the student knows least, does not stay in it for long.
        """
        self.steps += 1
        weight = max(1 - self.decay, 1 / (int(self.steps) + 1))
        student = self.state_dict()
        for name, average in self.teacher.state_dict().items():
            if average.is_floating_point():
                average.lerp_(student[name], weight)
            else:
                average.copy_(student[name])

    def train(self, mode: bool = True) -> 'MeanTeacher':
        """Switch the student to training; the teacher always predicts as in evaluation."""
        super().train(mode)
        self.teacher.eval()
        return self

    def loss_of_batches(
        self, domain: Domain, labeled: Batch, unlabeled: Batch
    ) -> dict[str, Tensor]:
        """L = L_s + w(t) d(teacher(x), student(view of x)), with unlabeled images x."""
        self.encode(labeled)
        losses = self.loss_labeled(domain, labeled)
        if len(unlabeled):
            with torch.no_grad():
                target = self.encode_decode(unlabeled.images, [dict(domain=domain.name)])
                target = target.float().softmax(dim=1)  # [B, C, H, W]
            seen = self.view(unlabeled, self.view_name)
            self.encode(seen)
            logits = domain.logits(seen.features, seen.size).float()  # [B, C, H, W]
            weight = self.loss_consistency.position_weight(target, unlabeled.valid())  # [B, H, W]
            loss = self.loss_consistency(target, logits, weight)
            losses['loss_unsupervised'] = self.unsupervised_weight(self.progress) * loss
        return losses

    def encode_decode(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Return the teacher's logits at the input's size, [B, C, H, W]."""
        with self.teacher.active(batch_img_metas[0].get('domain') or self.active_domain):
            return self.teacher.encode_decode(inputs, batch_img_metas)

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, local_metadata: dict, *args
    ) -> None:
        """Let the teacher start as a copy of the student from a checkpoint of another method."""
        take_weights(self, state_dict, prefix, local_metadata)
        if not any(key.startswith(f'{prefix}teacher.') for key in state_dict):
            copies = {f'{prefix}teacher.{key[len(prefix) :]}': x for key, x in state_dict.items()}
            state_dict.update(copies)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)
