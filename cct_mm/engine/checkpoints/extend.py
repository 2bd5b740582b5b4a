"""Change the length of a resumed run, and with it all schedules."""

import warnings
from collections.abc import Iterator, Mapping, Sequence

from mmengine.hooks import Hook
from mmengine.optim import ReduceOnPlateauParamScheduler
from mmengine.registry import HOOKS
from torch import nn

from cct_mm.datasets.transforms.label_values import ranges
from cct_mm.models.losses import AnnealedCrossEntropy
from cct_mm.schedules import Progress, RampUp

from ..training_progress import model_of
from .files import CheckpointError


@HOOKS.register_module()
class ExtendHook(Hook):
    """Set schedules and ramps of a resumed run to where a run of another length would be.

    Each schedule is replayed from its beginning, step by step. This is exact for chained schedules,
    warm-ups and several parameter groups too. No image is loaded.

    Args:
        old_length: Length with which the run was started, in iterations.
    """

    # After the hooks that may refuse the checkpoint.
    priority = 'LOW'

    def __init__(self, old_length: int) -> None:
        self.old_length = old_length

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Replace the checkpoint's schedules by replayed ones.

        The runner's own schedules are fresh at this point; it loads the checkpoint's afterwards.

        Raises:
            CheckpointError: If a schedule follows the metrics, which cannot be replayed, or if the
                learning rate would be 0 until the end.
        """
        iteration = checkpoint['meta']['iter']
        before = [dict(group) for group in _groups(checkpoint['optimizer'])]
        schedulers = runner.param_schedulers or []
        _replay(schedulers, iteration)
        _check_not_ended(schedulers, iteration)
        fresh = runner.optim_wrapper.state_dict()
        driven = {scheduler.param_name for scheduler in schedulers} | {'lr'}
        driven |= {f'initial_{name}' for name in driven}
        for group, new in zip(_groups(checkpoint['optimizer']), _groups(fresh), strict=True):
            group.update({name: new[name] for name in driven if name in new})
        if runner.param_schedulers is not None:
            checkpoint['param_schedulers'] = [s.state_dict() for s in schedulers]
        # A paramwise_cfg makes hundreds of groups of a few learning rates.
        changes: dict[str, list[int]] = {}
        pairs = zip(before, _groups(checkpoint['optimizer']), strict=True)
        for i, (old, new) in enumerate(pairs):
            changes.setdefault(f'{old["lr"]:.6g} -> {new["lr"]:.6g}', []).append(i)
        lines = [
            f'lr of group{"s" if len(groups) > 1 else ""} {ranges(groups)}: {change}'
            for change, groups in changes.items()
        ]
        for name, ramp in ramps(model_of(runner)):
            old, new = (
                ramp(Progress(iteration, length, seed=0))
                for length in (self.old_length, runner.max_iters)
            )
            lines.append(f'{name}: {old:.6g} -> {new:.6g}')
        runner.logger.info(
            f'Extended from {self.old_length} to {runner.max_iters} iterations; at iteration '
            f'{iteration}:\n  ' + '\n  '.join(lines)
        )


def _replay(schedulers: Sequence, iterations: int) -> None:
    """Step schedules as mmengine's ``ParamSchedulerHook`` does after each iteration."""
    for scheduler in schedulers:
        if isinstance(scheduler, ReduceOnPlateauParamScheduler):
            raise CheckpointError(
                f'--extend: {type(scheduler).__name__} follows the metrics of a run, expected '
                'schedules that depend only on the iteration: a run of another length would have '
                'had other metrics; start a new run with load_from'
            )
    with warnings.catch_warnings():
        # PyTorch warns because the optimizer is not stepped in between.
        warnings.simplefilter('ignore')
        for _ in range(iterations):
            for scheduler in schedulers:
                if not scheduler.by_epoch:
                    scheduler.step()


def _check_not_ended(schedulers: Sequence, iteration: int) -> None:
    """Check that the learning rate has not ended at 0."""
    ended = [s for s in schedulers if s.param_name == 'lr' and not s.by_epoch]
    if not ended or any(s.end > iteration for s in ended):
        return
    if all(group['lr'] == 0 for s in ended for group in s.optimizer.param_groups):
        last = max(ended, key=lambda s: s.end)
        raise CheckpointError(
            f'--extend: {type(last).__name__} of param_scheduler ends at {last.end}, and '
            f'{iteration} iterations are done, so the learning rate would be 0 to the end of the '
            'run; leave `end` out of param_scheduler, which then follows train_cfg.max_iters'
        )


def _groups(state: Mapping) -> list[dict]:
    """Return the parameter groups of an optimizer's state, and the settings that mmengine logs."""
    settings = state.get('base_param_settings')
    return [*state['param_groups'], *([] if settings is None else [settings])]


def ramps(model: nn.Module) -> Iterator[tuple[str, RampUp]]:
    """Yield every ramp of a model with its name."""
    for name, module in model.named_modules():
        prefix = f'{name}.' if name else ''
        for key, value in vars(module).items():
            if isinstance(value, RampUp):
                yield f'{prefix}{key}', value
        # The threshold starts at 1 / C, and the head knows the number of classes C. mmseg puts
        # several losses of a head into a list.
        for key, loss in module.named_modules() if hasattr(module, 'num_classes') else ():
            if isinstance(loss, AnnealedCrossEntropy):
                ramp = RampUp(start=1 / module.num_classes, **loss.ramp)
                yield f'{prefix}{key}.threshold', ramp
