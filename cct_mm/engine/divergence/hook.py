"""Stop a run whose losses or weights are no longer finite."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor

from ..checkpoints.hook import saves_after
from .step_guard import StepGuard, finite_norms


@dataclass
class _Step:
    """One iteration that has not been checked yet.

    Args:
        iteration: Counted from 1.
        losses: Names of the losses.
        weights: Names of the weights.
        finite: Whether each loss and then each weight is finite, [losses + weights], bool, on the
            device.
        domains: Domains of the batch.
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
    """Stop the run when a loss or a weight becomes nan or infinite.

    Each step stores on the device whether its losses and the updated weights are finite. Every
    ``interval`` iterations, and before each validation and each checkpoint, the hook fetches these
    results and names the first wrong step, with its losses, domain and images. In between, nothing
    waits for the device. All processes stop together. The weights of each checkpoint are checked
    once more before it is written, so that a diverged run never replaces a good checkpoint.

    Mixed precision skips steps by itself while it searches for a loss scale. These steps leave the
    weights unchanged and raise no alarm.

    Args:
        interval: Iterations between two checks; each check waits for the device.
        max_skipped: Number of steps with a loss or gradient that is not finite that are left out,
            on all processes alike, before the next one ends the run. They are counted across
            resumes. Unless it is 0, each step waits for the device and copies the network's
            buffers, see :class:`~cct_mm.engine.divergence.step_guard.StepGuard`.

    Raises:
        ValueError: If ``max_skipped`` is not a whole number of at least 0.
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
        """Guard the optimizer's steps if some may be left out."""
        if self.max_skipped:
            self._guard = StepGuard(runner.model, runner.optim_wrapper)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Copy the buffers, which a step that is left out must not change."""
        if self._guard is not None:
            self._guard.remember()

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Record whether losses and weights are finite, and check the records when it is time.

        Raises:
            FloatingPointError: If one is not finite.
        """
        step = self._record(runner, data_batch, outputs or {})
        if self._guard is not None and self._guard.left_out:
            self._count_left_out(runner, step)
        else:
            self._steps.append(step)
        if self.every_n_train_iters(runner, self.interval) or saves_after(runner):
            self._check(runner)

    def before_val_epoch(self, runner: Runner) -> None:
        """Check, because the validated network may become the best checkpoint."""
        self._check(runner)

    def after_train(self, runner: Runner) -> None:
        """Check the last steps."""
        self._check(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check the weights.

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

    def _check(self, runner: Runner) -> None:
        """Find the first wrong step on any process, with one transfer from the device."""
        steps, self._steps = self._steps, []
        # No step since the last check; this is the same on all processes.
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
        # Checkpoints contain the message hub.
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
    """Name a step's terms that are not finite on any process, and all its images.

    Args:
        step: The step of this process; all processes call this function together.
        otherwise: What to name if all terms are finite.
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
    # After a loss that is not finite every weight is wrong, so the weights tell nothing.
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
