"""A teacher: the moving average of the network, whose predictions it learns from."""

import torch
from torch import Tensor

from cct_mm.models.domain import Domain
from cct_mm.models.mmseg_weights import take_weights

from .batch import Batch
from .multi_domain import MultiDomainSegmentor


class _Average(MultiDomainSegmentor):
    """Encoder and main heads, all that a teacher has of a method."""

    def extend_domain(self, domain: Domain, **further) -> None:
        pass


class WithTeacher:
    """Part of a method whose y^u may be that of a teacher, its own moving average.

    It is a mixin, the last before :class:`~cct_mm.models.segmentors.MultiDomainSegmentor`; the
    method asks :meth:`target` for y^u.

    Args:
        teacher: ``dict(decay=..., predicts=...)``, or None for a method that is its own teacher.
            ``decay``, in (0, 1), 0.99 by default, is the weight a of the old average in each step;
            ``predicts``, True by default, says whether validation, test and prediction are the
            teacher's or the student's.
        **kwargs: As for the segmentor.

    Raises:
        ValueError: If the decay is out of range, or the teacher has other settings.
    """

    def __init__(self, *, teacher: dict | None = None, **kwargs) -> None:
        super().__init__(**kwargs)
        self.teacher = None
        if teacher is None:
            return
        owner, settings = type(self).__name__, {'decay': 0.99, 'predicts': True, **teacher}
        if len(settings) > 2:
            raise ValueError(f'{owner}: teacher is {teacher}, expected dict(decay=, predicts=)')
        if not 0 < settings['decay'] < 1:
            raise ValueError(
                f'{owner}: decay is {settings["decay"]}, expected a number in (0, 1): 0.99'
            )
        self.decay = settings['decay']
        self.teacher_predicts = settings['predicts']
        # Forked, so that whatever is drawn later starts as in the supervised baseline.
        with torch.random.fork_rng(devices=[]):
            self.teacher = _Average(**kwargs).requires_grad_(False)
        self.register_buffer('steps', torch.tensor(0))
        # The same on the host, because reading the buffer would wait for the device in each step.
        self._steps = 0
        self._copy_to_teacher()

    @property
    def predictor(self) -> MultiDomainSegmentor:
        """The network that predicts: the teacher, or this one."""
        return self if self.teacher is None or not self.teacher_predicts else self.teacher

    def target(self, domain: Domain, batch: Batch) -> Tensor:
        """Return y^u, the teacher's prediction or that of the main head, without gradient.

        Of images with image-level labels it is a prediction among the classes that they name.

        Args:
            domain: Of the images; it is active.
            batch: Unlabeled images; they are encoded where there is no teacher.

        Shape:
            - output: [B, C, H, W], probabilities, float32
        """
        if batch.prob is None:
            batch.prob = batch.among_named(self._prediction(domain, batch), domain.classes)
        return batch.prob

    def _prediction(self, domain: Domain, batch: Batch) -> Tensor:
        if self.teacher is None:
            return domain.predict_target(batch.features, batch.size)
        with torch.no_grad(), self.teacher.active(domain.name) as theirs:
            logits = theirs.logits(self.teacher.features(batch), batch.size)
            return logits.float().softmax(dim=1)

    def init_weights(self) -> None:
        """Draw or load the weights of the student; the teacher starts as its copy."""
        if self.teacher is not None:
            self.teacher.is_init = True
        super().init_weights()
        self._copy_to_teacher()

    def _copy_to_teacher(self) -> None:
        if self.teacher is not None:
            self.teacher.load_state_dict(self.state_dict(), strict=False)

    @torch.no_grad()
    def after_step(self) -> None:
        """Move the teacher: theta' = a theta' + (1 - a) theta, norm statistics included.

        Over the first steps a is smaller, 1 - 1 / (t + 1), so that theta' is the plain mean and the
        beginning, when the student knows least, does not stay in it for long.
        """
        super().after_step()
        if self.teacher is None:
            return
        self.steps += 1
        self._steps += 1
        weight = max(1 - self.decay, 1 / (self._steps + 1))
        student, averages, latest = self.state_dict(), [], []
        for name, average in self.teacher.state_dict().items():
            if average.is_floating_point():
                averages.append(average)
                latest.append(student[name])
            else:
                average.copy_(student[name])
        # As lerp_ of each, bit for bit, but in few kernels.
        torch._foreach_lerp_(averages, latest, weight)

    def train(self, mode: bool = True) -> 'WithTeacher':
        """Switch the student to training; the teacher always predicts as in evaluation."""
        super().train(mode)
        if self.teacher is not None:
            self.teacher.eval()
        return self

    def encode_decode(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Return the logits of the network that predicts at the input's size, [B, C, H, W]."""
        if self.predictor is self:
            return super().encode_decode(inputs, batch_img_metas)
        with self.teacher.active(batch_img_metas[0].get('domain') or self.active_domain):
            return self.teacher.encode_decode(inputs, batch_img_metas)

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, local_metadata: dict, *args
    ) -> None:
        """Let the teacher start as a copy of the student from a checkpoint without one."""
        take_weights(self, state_dict, prefix, local_metadata)
        start = f'{prefix}teacher.'
        if self.teacher is not None and not any(key.startswith(start) for key in state_dict):
            copies = {
                start + key.removeprefix(prefix): value
                for key, value in state_dict.items()
                if self._averages(key.removeprefix(prefix))
            }
            state_dict.update(copies)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)
        if self.teacher is not None:
            self._steps = int(self.steps)

    def _averages(self, name: str) -> bool:
        """Tell whether a weight belongs to a part that the teacher has: encoder or main heads."""
        parts = name.split('.')
        depth = 3 if parts[0] == 'domains' else 1
        try:
            self.teacher.get_submodule('.'.join(parts[:depth]))
        except AttributeError:
            return False
        return True
