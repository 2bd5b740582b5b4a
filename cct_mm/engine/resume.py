"""Going on with a training: whether its settings still are what they were, and if not, how."""

import shlex
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import ReduceOnPlateauParamScheduler
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn

from cct_mm.models.losses import AnnealedCrossEntropy
from cct_mm.schedules import Progress, RampUp

from .checkpoint_files import CheckpointError
from .checkpoint_loading import read_checkpoint
from .config_changes import changes, early_end, parse_config, run_length, schedules, stretch

_RESTORED = ('optim_wrapper.optimizer.', 'optim_wrapper.paramwise_cfg.', 'param_scheduler.')
_SEED = 'randomness.seed'


@dataclass
class Plan:
    """How a run goes on.

    Args:
        checkpoint: What it goes on with.
        iteration: Where that stands, in iterations, or in epochs where these count.
        length: How long the training is, in the same unit.
        old_length: How long it was; None where the checkpoint does not say.
        world_size: How many processes trained it; None where the checkpoint does not say.
        notes: What the user is to know.
    """

    checkpoint: Path
    iteration: int
    length: int
    old_length: int | None
    world_size: int | None
    notes: list[str] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.iteration >= self.length

    @property
    def extends(self) -> bool:
        """Whether the training has another length now."""
        return self.old_length not in (None, self.length)

    def tell(self, runner: Runner) -> None:
        """Log the notes."""
        for note in self.notes:
            runner.logger.warning(note)
        if self.world_size not in (None, runner.world_size):
            runner.logger.warning(
                f'{self.checkpoint} was trained by {self.world_size} process(es), now there are '
                f'{runner.world_size}: an iteration learns from another number of images, so the '
                'run does not go on bit for bit'
            )


def plan_resume(config: Config, checkpoint: Path, extend: bool, command: Sequence[str]) -> Plan:
    """Compare the settings of a checkpoint with those of today.

    Args:
        config: Today's config. To extend, its schedules that end where the training ended before
            are made to end where it ends now.
        checkpoint: What the run would go on with.
        extend: Whether it may be longer or shorter than it was.
        command: The tool's arguments, for the commands in the error.

    Raises:
        CheckpointError: The checkpoint is none of a training; the length differs, and ``extend`` is
            false; it is below what has been trained; optimizer or schedules are of other types.
    """
    found = read_checkpoint(checkpoint, mmap=True)
    meta = found.get('meta') or {}
    wanted = {'meta', 'message_hub', 'optimizer', 'state_dict'}
    # Without their state, learning rates would start anew, or from a wrong value.
    wanted |= {'param_schedulers'} if schedules(config) else set()
    if (absent := sorted(wanted - found.keys())) or 'iter' not in meta:
        raise CheckpointError(
            f'{checkpoint} holds no {" and no ".join(absent or ["iteration"])}, expected all that '
            'a training leaves to go on (save_optimizer and save_param_scheduler of '
            'CheckpointHook); move it away, or start a new run from its weights:\n  '
            + _new_run(command, config, checkpoint)
        )
    unit, length = run_length(config)
    iteration = meta['epoch' if unit == 'max_epochs' else 'iter']
    plan = Plan(checkpoint, iteration, length, None, meta.get('world_size'))
    try:
        old = parse_config(meta['cfg'])
    except (KeyError, ValueError) as error:
        plan.notes.append(
            f'{checkpoint} does not say with which settings it was trained ({error}): they are '
            'taken to be those of today'
        )
        return plan
    plan.old_length = run_length(old)[1]
    if plan.extends:
        _check_extension(plan, config, unit, extend, command)
        if moved := stretch(config, plan.old_length, length):
            plan.notes.append(f'--extend: {", ".join(moved)}')
        if sentence := early_end(config):
            plan.notes.append(sentence)
    new = parse_config(config.pretty_text)
    differing = changes(old, new)
    differing.pop(f'train_cfg.{unit}', None)
    if plan.extends:
        # Schedules are those of today's config from its beginning on; `end` is said above.
        differing = {
            key: values
            for key, values in differing.items()
            if not (key.startswith('param_scheduler.') and values[0] == plan.old_length)
        }
    _check_types(differing, plan, command, config)
    if differing:
        plan.notes.append(_describe(differing, checkpoint, plan.extends))
    return plan


def _check_extension(
    plan: Plan, config: Config, unit: str, extend: bool, command: Sequence[str]
) -> None:
    change = f'{unit} is {plan.length}, and the run in {plan.checkpoint} was started with '
    change += f'{plan.old_length}'
    if plan.length < plan.iteration:
        raise CheckpointError(
            f'{change}, of which {plan.iteration} are done: it cannot end before that; raise '
            f'train_cfg.{unit}, or start a new run: {_new_run(command, config, plan.checkpoint)}'
        )
    if extend and unit == 'max_epochs':
        raise CheckpointError(
            f'{change}: --extend is for trainings that count iterations, expected '
            "train_cfg=dict(type='IterBasedTrainLoop', max_iters=...); start a new run: "
            f'{_new_run(command, config, plan.checkpoint)}'
        )
    if not extend:
        raise CheckpointError(
            f'{change}: its learning rate and ramps have followed that length. Either start a new '
            f'run from these weights:\n  {_new_run(command, config, plan.checkpoint)}\nor go on '
            'with every schedule set to where a run of the new length would be by now:\n  '
            f'{shlex.join(["python", *_without(command, "--resume"), "--extend"])}'
        )


def _check_types(
    differing: Mapping[str, tuple], plan: Plan, command: Sequence[str], config: Config
) -> None:
    """Refuse an optimizer or schedules that cannot take over the state of the checkpoint's."""
    # To extend, schedules are replayed, and need no state.
    kept = ['optim_wrapper.optimizer'] + ([] if plan.extends else ['param_scheduler'])
    kinds = [
        f'{key}: {_short(old)} -> {_short(new)}'
        for key, (old, new) in differing.items()
        if key.startswith(tuple(kept)) and key.split('.')[-1] in ('type', key)
    ]
    if kinds:
        raise CheckpointError(
            f'{plan.checkpoint} was trained with others than these, which cannot take over its '
            f'state ({"; ".join(kinds)}); change that back, or start a new run from these '
            f'weights:\n  {_new_run(command, config, plan.checkpoint)}'
        )


def _describe(differing: Mapping[str, tuple], checkpoint: Path, extends: bool) -> str:
    def lines(keys: list[str]) -> str:
        return ''.join(
            f'\n  {key}: {_short(differing[key][0])} -> {_short(differing[key][1])}' for key in keys
        )

    restored = [key for key in differing if key.startswith(_RESTORED) or key == _SEED]
    if extends:
        # They start from today's learning rate.
        scheduled = ('param_scheduler.', 'optim_wrapper.optimizer.lr')
        restored = [key for key in restored if not key.startswith(scheduled)]
    applied = [key for key in differing if key not in restored]
    text = f'the settings differ from those that {checkpoint} was trained with'
    if applied:
        text += f'. From now on the new ones hold, so the run is neither of both:{lines(applied)}'
    if restored:
        text += (
            f'{chr(10) if applied else ". "}The new ones have NO effect, for the checkpoint brings '
            f'its own along (to use them, start a new run with load_from):{lines(restored)}'
        )
    return text


def _short(value: Any, most: int = 200) -> str:
    text = repr(value)
    return text if len(text) <= most else f'{text[:most]}...'


def _new_run(command: Sequence[str], config: Config, checkpoint: Path) -> str:
    """Return the command that starts a new run from the weights of a checkpoint."""
    kept = _without(_without(command, '--resume'), '--extend')
    option = f'load_from={checkpoint}'
    if '--cfg-options' in kept:
        place = kept.index('--cfg-options') + 1
        kept[place:place] = [option]
    else:
        kept += ['--cfg-options', option]
    kept = _without(kept, '--work-dir', values=1)
    return shlex.join(['python', *kept, '--work-dir', f'{str(config.work_dir).rstrip("/")}-2'])


def _without(command: Sequence[str], option: str, values: int = 0) -> list[str]:
    kept = list(command)
    while option in kept:
        place = kept.index(option)
        del kept[place : place + 1 + values]
    return [word for word in kept if not (values and word.startswith(f'{option}='))]


@HOOKS.register_module()
class ExtendHook(Hook):
    """Set schedules and ramps of a resumed run to where a run of another length would be.

    Each schedule is replayed from its beginning, as it would have been stepped, which is exact for
    chained schedules, warm-ups and several parameter groups too. Only numbers are computed: no
    image is loaded.

    Args:
        old_length: Number of iterations that the run was started with.
    """

    def __init__(self, old_length: int) -> None:
        self.old_length = old_length

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Put the replayed schedules in the place of the checkpoint's.

        The runner's own are fresh at this point: it takes over the checkpoint's afterwards.

        Raises:
            ValueError: If a schedule follows the metrics, which cannot be replayed.
        """
        iteration = checkpoint['meta']['iter']
        before = [dict(group) for group in _groups(checkpoint['optimizer'])]
        schedulers = runner.param_schedulers or []
        by_optimizer = schedulers if isinstance(schedulers, dict) else {'': schedulers}
        for own in by_optimizer.values():
            _replay(own, iteration)
        fresh = runner.optim_wrapper.state_dict()
        driven = {s.param_name for own in by_optimizer.values() for s in own} | {'lr'}
        driven |= {f'initial_{name}' for name in driven}
        for group, new in zip(_groups(checkpoint['optimizer']), _groups(fresh), strict=True):
            group.update({name: new[name] for name in driven if name in new})
        if runner.param_schedulers is not None:
            states = {name: [s.state_dict() for s in own] for name, own in by_optimizer.items()}
            checkpoint['param_schedulers'] = states if isinstance(schedulers, dict) else states['']
        lines = [
            f'lr of group {i}: {old["lr"]:.6g} -> {new["lr"]:.6g}'
            for i, (old, new) in enumerate(
                zip(before, _groups(checkpoint['optimizer']), strict=True)
            )
        ]
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        for name, ramp in ramps(model):
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
            raise ValueError(
                f'--extend: {type(scheduler).__name__} follows the metrics of a run, which a '
                'longer run would have had others of; start a new run with load_from'
            )
    with warnings.catch_warnings():
        # That the optimizer was not stepped between.
        warnings.simplefilter('ignore')
        for _ in range(iterations):
            for scheduler in schedulers:
                if not scheduler.by_epoch:
                    scheduler.step()


def _groups(state: Mapping) -> list[dict]:
    """Return the parameter groups of an optimizer's state, and what mmengine logs beside them."""
    if 'param_groups' not in state:
        # Several optimizers, by their names.
        return [group for own in state.values() for group in _groups(own)]
    settings = state.get('base_param_settings')
    return [*state['param_groups'], *([] if settings is None else [settings])]


def ramps(model: nn.Module) -> Iterator[tuple[str, RampUp]]:
    """Yield every ramp of a model, with its name."""
    for name, module in model.named_modules():
        prefix = f'{name}.' if name else ''
        for key, value in vars(module).items():
            if isinstance(value, RampUp):
                yield f'{prefix}{key}', value
        # The threshold starts at 1 / C, and C is known to its head.
        for key, child in module.named_children():
            if isinstance(child, AnnealedCrossEntropy) and hasattr(module, 'num_classes'):
                ramp = RampUp(start=1 / module.num_classes, **child.ramp)
                yield f'{prefix}{key}.threshold', ramp
