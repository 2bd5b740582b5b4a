"""Going on with a training: from what, whether its settings still are what they were, and how."""

import os.path as osp
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import broadcast_object_list
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from .checkpoint_files import POINTER, CheckpointError, newest_checkpoint
from .checkpoint_loading import read_checkpoint
from .config_changes import changes, early_end, parse_config, run_length, schedules, stretch
from .extend import ExtendHook

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
        new_run: The command that starts a new run from its weights.
        notes: What the user is to know.
    """

    checkpoint: Path
    iteration: int
    length: int
    old_length: int | None
    world_size: int | None
    new_run: str
    notes: list[str] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.iteration >= self.length

    @property
    def extends(self) -> bool:
        """Whether the training has another length now."""
        return self.old_length not in (None, self.length)

    def apply(self, runner: Runner) -> None:
        """Let a runner, about to train, go on with the checkpoint, and log the notes."""
        # mmengine would take what `last_checkpoint` says, which may be of another work dir.
        runner._load_from = str(self.checkpoint)
        runner.register_hook(ResumeHook(self))
        if self.extends:
            runner.register_hook(ExtendHook(self.old_length))
        for note in self.notes:
            runner.logger.warning(note)
        if self.world_size not in (None, runner.world_size):
            runner.logger.warning(
                f'{self.checkpoint} was trained by {self.world_size} process(es), now there are '
                f'{runner.world_size}: an iteration learns from another number of images, so the '
                'run does not go on bit for bit'
            )


def checkpoint_folder(config: Config) -> Path:
    """Return where the run's checkpoints are: the work dir, or below the hook's ``out_dir``."""
    out_dir = _out_dir(config)
    if not out_dir:
        return Path(config.work_dir)
    return Path(out_dir, osp.basename(osp.abspath(config.work_dir)))


def _out_dir(config: Config) -> str:
    hook = config.get('default_hooks', {}).get('checkpoint') or {}
    return hook.get('out_dir') or ''


def prepare_resume(config: Config, extend: bool, command: Sequence[str]) -> Plan | None:
    """Decide what a run goes on with, before anything is written.

    Args:
        config: The run's config. Its ``resume`` and ``load_from`` become what is decided.
        extend: Whether the run may have another length.
        command: The tool's arguments, for the commands in errors.

    Returns:
        None for a new start, where there is nothing to go on with.

    Raises:
        CheckpointError: The run cannot go on, see :func:`plan_resume`, or its checkpoints are not
            where they are looked for.
    """
    folder = checkpoint_folder(config)
    if '://' in _out_dir(config):
        raise CheckpointError(
            f'--resume: out_dir of CheckpointHook is {_out_dir(config)}, expected a folder of this '
            f'machine, for no other is looked into; copy the newest checkpoint to '
            f'{config.work_dir} and leave out_dir out, or start a new run from its weights with '
            '--cfg-options load_from=ADDRESS'
        )
    found = newest_checkpoint(config.work_dir, folder)
    if found is None:
        pointer = Path(config.work_dir, POINTER)
        if pointer.is_file():
            name = pointer.read_text(encoding='utf-8', errors='replace').strip()
            raise CheckpointError(
                f'{pointer} names {name[:200]!r}, and {folder} has no checkpoint, expected that '
                f'one there; copy it there, correct out_dir of CheckpointHook, or remove {pointer} '
                'to start anew'
            )
        if extend:
            raise CheckpointError(
                f'--extend: {folder} has no checkpoint, expected one to go on with; check '
                '--work-dir, or leave --extend out to start anew'
            )
        # mmengine would resume from load_from: another training's iteration and optimizer.
        config.resume = False
        return None
    config.resume, config.load_from = True, None
    plan = plan_resume(config, found.path, extend, command)
    if found.warning:
        plan.notes.insert(0, found.warning)
    return plan


def check_same_on_all(plan: Plan | None) -> None:
    """Check that all processes, which may be on several hosts, go on with the same checkpoint.

    Raises:
        CheckpointError: If not.
    """
    own = plan.checkpoint.name if plan else 'none'
    first = [own]
    broadcast_object_list(first)
    if first[0] != own:
        raise CheckpointError(
            f'the newest checkpoint of the first process is {first[0]}, here it is {own}, expected '
            'the same: put the work dir where all hosts see it, or copy it to each'
        )


def how_to_go_on(config: Config, command: Sequence[str]) -> str:
    """Return the sentence for who interrupts a run.

    Args:
        config: The run's.
        command: The tool's arguments.
    """
    folder = checkpoint_folder(config)
    try:
        found = newest_checkpoint(config.work_dir, folder)
    except CheckpointError as error:
        return f'Interrupted. {error}'
    if found is None:
        return f'Interrupted before the first checkpoint: {folder} has nothing to go on with.'
    command = shlex.join(['python', *_without(command, '--resume'), '--resume'])
    return f'Interrupted. To go on from {found.path}: {command}'


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
    new_run = _new_run(command, config, checkpoint)
    plan = Plan(checkpoint, iteration, length, None, meta.get('world_size'), new_run)
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
        _check_extension(plan, unit, extend, command)
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
    _check_types(differing, plan)
    if differing:
        plan.notes.append(_describe(differing, checkpoint, plan.extends))
    return plan


def _check_extension(plan: Plan, unit: str, extend: bool, command: Sequence[str]) -> None:
    change = f'{unit} is {plan.length}, and the run in {plan.checkpoint} was started with '
    change += f'{plan.old_length}'
    if plan.length < plan.iteration:
        raise CheckpointError(
            f'{change}, of which {plan.iteration} are done: it cannot end before that; raise '
            f'train_cfg.{unit}, or start a new run: {plan.new_run}'
        )
    if extend and unit == 'max_epochs':
        raise CheckpointError(
            f'{change}: --extend is for trainings that count iterations, expected '
            "train_cfg=dict(type='IterBasedTrainLoop', max_iters=...); start a new run: "
            f'{plan.new_run}'
        )
    if not extend:
        raise CheckpointError(
            f'{change}: its learning rate and ramps have followed that length. Either start a new '
            f'run from these weights:\n  {plan.new_run}\nor go on '
            'with every schedule set to where a run of the new length would be by now:\n  '
            f'{shlex.join(["python", *_without(command, "--resume"), "--extend"])}'
        )


def _check_types(differing: Mapping[str, tuple], plan: Plan) -> None:
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
            f'weights:\n  {plan.new_run}'
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
class ResumeHook(Hook):
    """Check that the optimizer can take over the state in a checkpoint, as soon as both are there.

    Args:
        plan: How the run goes on.
    """

    # After the hook that may refuse the model, before the one that replays schedules.
    priority = 'BELOW_NORMAL'

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare the groups of parameters.

        Raises:
            CheckpointError: They are not as many, or not of as many parameters each.
        """
        found, own = (
            _group_sizes(state)
            for state in (checkpoint['optimizer'], runner.optim_wrapper.state_dict())
        )
        if found != own:
            raise CheckpointError(
                f'{self.plan.checkpoint} has {found} for its optimizer, this run has {own}, '
                'expected the same: model, or optim_wrapper.paramwise_cfg, differ; change that '
                f'back, or start a new run from these weights:\n  {self.plan.new_run}'
            )


def _group_sizes(state: Mapping) -> str:
    """Describe an optimizer's groups of parameters, or those of several, by their names."""
    if 'param_groups' not in state:
        return '; '.join(f'{name}: {_group_sizes(own)}' for name, own in state.items())
    sizes = [len(group['params']) for group in state['param_groups']]
    # Optimizers with settings for single parameters have hundreds of groups, of one each.
    listed = f' (of {sizes})' if len(sizes) <= 8 else ''
    return f'{sum(sizes)} parameters in {len(sizes)} group(s){listed}'
