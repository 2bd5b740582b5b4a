"""Hook that ends a run whose loss is no number any more."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor

from .finite import finite_norms
from .saving import saves_after
from .step_guard import StepGuard


@dataclass
class _Step:
    """An iteration since the last look.

    Args:
        iteration: Counted from 1.
        losses: Their names.
        weights: Their names.
        finite: Whether each loss, then each weight is, [number of both], bool, on the device.
        domains: Of the batch.
        images: Paths of the batch's images.
    """

    iteration: int
    losses: Sequence[str]
    weights: Sequence[str]
    finite: Tensor
    domains: list[str]
    images: list[str]


@HOOKS.register_module()
class DivergenceHook(Hook):
    """Stop where a loss or a weight is nan or infinite, instead of training on for hours.

    Each step leaves on the device whether its losses, and the weights after it, are finite. Every
    so often, and before each validation and each checkpoint, one look at all of them finds the
    first step that went wrong, with its losses, domain and images; in between nothing waits for the
    device. All processes stop together. The weights of each checkpoint are looked at once more
    before it is written: a checkpoint of a run that has diverged never takes the place of a good
    one.

    Steps that mixed precision leaves out, to find its loss scale, leave the weights as they are and
    are no alarm.

    Args:
        interval: Iterations between two looks; each waits for the device.
        max_skipped: So many steps of a run, over all resumptions, whose loss or gradient is not
            finite are left out, on all processes alike, before one ends the run. If it is not zero,
            each step waits for the device, and copies the network's buffers: see
            :class:`~cct_mm.engine.step_guard.StepGuard`.

    Raises:
        ValueError: If ``max_skipped`` is no number of steps.
    """

    def __init__(self, interval: int = 50, max_skipped: int = 0) -> None:
        if not isinstance(max_skipped, int) or max_skipped < 0:
            raise ValueError(
                f'DivergenceHook: max_skipped is {max_skipped!r}, expected a number of steps, or 0 '
                'to leave none out'
            )
        self.interval = interval
        self.max_skipped = max_skipped
        self._steps: list[_Step] = []
        self._guard: StepGuard | None = None

    def before_train(self, runner: Runner) -> None:
        """Guard the optimizer's steps if some may be left out.

        Raises:
            TypeError: If there are several optimizers.
        """
        if not self.max_skipped:
            return
        if not isinstance(runner.optim_wrapper, OptimWrapper):
            raise TypeError(
                f'DivergenceHook: max_skipped is {self.max_skipped} with optimizers in a '
                f'{type(runner.optim_wrapper).__name__}, expected a single one, whose steps can be '
                'left out; set max_skipped=0'
            )
        self._guard = StepGuard(runner.model, runner.optim_wrapper)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Keep what a step that is left out must not change."""
        if self._guard is not None:
            self._guard.remember()

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Keep whether losses and weights are finite; look at those kept, if it is time.

        Raises:
            FloatingPointError: If one is not.
        """
        step = self._record(runner, data_batch, outputs or {})
        if self._guard is not None and self._guard.left_out:
            self._count_left_out(runner, step)
        else:
            self._steps.append(step)
        if self.every_n_train_iters(runner, self.interval) or saves_after(runner):
            self._look(runner)

    def before_val_epoch(self, runner: Runner) -> None:
        """Look, for what is validated may become the best checkpoint."""
        self._look(runner)

    def after_train(self, runner: Runner) -> None:
        """Look at the last steps."""
        self._look(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Look at the weights.

        Raises:
            FloatingPointError: If one is not finite.
        """
        for name, value in checkpoint['state_dict'].items():
            if value.is_floating_point() and not torch.isfinite(value).all():
                found = f'iteration {runner.iter + 1}: {name} holds nan or infinity'
                raise FloatingPointError(_message(runner, found))

    @staticmethod
    def _record(runner: Runner, data_batch: dict | None, outputs: dict) -> _Step:
        losses = {name: value.detach() for name, value in outputs.items() if 'loss' in name}
        weights = {n: p for n, p in runner.model.named_parameters() if p.requires_grad}
        finite = []
        if losses:
            finite.append(torch.isfinite(torch.stack([v.sum() for v in losses.values()])))
        if weights:
            finite.append(finite_norms(list(weights.values())))
        samples = data_batch.get('data_samples', []) if isinstance(data_batch, dict) else []
        metas = [getattr(sample, 'metainfo', {}) for sample in samples]
        return _Step(
            iteration=runner.iter + 1,
            losses=list(losses),
            weights=list(weights),
            finite=torch.cat(finite) if finite else torch.ones(0, dtype=torch.bool),
            domains=list(dict.fromkeys(m['domain'] for m in metas if 'domain' in m)),
            images=[str(m['img_path']) for m in metas if 'img_path' in m],
        )

    def _look(self, runner: Runner) -> None:
        """Find the first wrong step of all processes, with one transfer from the device."""
        steps, self._steps = self._steps, []
        # Between two checkpoints that need no look, all processes have none.
        if not steps:
            return
        finite = torch.cat([step.finite for step in steps]).cpu()
        parts = finite.split([len(step.finite) for step in steps])
        wrong = [step.iteration for step, part in zip(steps, parts, strict=True) if not part.all()]
        first = [found for found in all_gather_object(wrong[:1]) if found]
        if first:
            iteration = min(first)[0]
            (step,) = [step for step in steps if step.iteration == iteration]
            raise FloatingPointError(_message(runner, _describe(step)))

    def _count_left_out(self, runner: Runner, step: _Step) -> None:
        # In the message hub, so that it is in checkpoints.
        count = runner.message_hub.get_info('steps_left_out', 0) + 1
        runner.message_hub.update_info('steps_left_out', count)
        found = _describe(step, otherwise='gradient')
        if count > self.max_skipped:
            found += f', after {self.max_skipped} others that were left out (max_skipped)'
            raise FloatingPointError(_message(runner, found))
        runner.logger.warning(
            f'{found}: the step is left out, {count} of at most {self.max_skipped} (max_skipped)'
        )


def _describe(step: _Step, otherwise: str = 'loss') -> str:
    """Name a step's terms that are not finite, on any process, and all its images.

    Args:
        step: Of this process; all call it together.
        otherwise: What it was if no term shows it.
    """
    count = len(step.losses)
    finite = step.finite.tolist()
    losses = [name for name, good in zip(step.losses, finite[:count], strict=True) if not good]
    weights = [name for name, good in zip(step.weights, finite[count:], strict=True) if not good]
    found = all_gather_object((losses, weights[:1], step.domains, step.images))
    losses, weights, domains = (
        list(dict.fromkeys(itertools.chain.from_iterable(parts)))
        for parts in list(zip(*found, strict=True))[:3]
    )
    # A wrong loss takes every weight along: those say nothing then.
    terms = losses or [f'weight {name}' for name in weights] or [otherwise]
    text = f'iteration {step.iteration}: {", ".join(terms)} not finite'
    if domains:
        text += f', domain {", ".join(domains)}'
    for rank, (*_, images) in enumerate(found):
        if images:
            of_rank = f' of process {rank}' if len(found) > 1 else ''
            text += f', images{of_rank} {", ".join(images)}'
    return text


def _message(runner: Runner, found: str) -> str:
    return (
        f'{found}, expected numbers: the run has diverged. '
        f'Checkpoints in {runner.work_dir} are from before. Look at which loss grew first, and '
        'lower its weight, the learning rate (optim_wrapper.optimizer.lr), or that of one part '
        'alone (paramwise_cfg.custom_keys)'
    )
