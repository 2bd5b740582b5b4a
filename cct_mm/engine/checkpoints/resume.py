"""Resume a training: choose its checkpoint, and check that its settings still fit."""

import os.path as osp
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import broadcast_object_list
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ..run_length import early_end, run_length, schedules, stretch
from .commands import new_run_command, resume_command
from .config_changes import changed_types, changes, describe_changes, orders, parse_config
from .early_stopping import STOPPED, early_stopping_hooks
from .extend import ExtendHook
from .files import POINTER, CheckpointError, newest_checkpoint
from .loading import read_checkpoint


@dataclass
class Plan:
    """How a run is resumed.

    Args:
        checkpoint: The checkpoint to resume from.
        iteration: Iterations that it has done, or epochs if the training counts epochs.
        length: Length of the training in the same unit.
        old_length: Length when the checkpoint was written; None if it does not tell.
        world_size: Number of processes that wrote the checkpoint; None if it does not tell.
        new_run: The command that starts a new run from its weights.
        stopped: How the run was ended early, if it was and the settings that did so still hold.
        notes: Warnings to the user.
    """

    checkpoint: Path
    iteration: int
    length: int
    old_length: int | None
    world_size: int | None
    new_run: str
    stopped: str = ''
    notes: list[str] = field(default_factory=list)

    @property
    def finished(self) -> bool:
        """Whether the checkpoint has done all iterations."""
        return self.iteration >= self.length

    @property
    def extends(self) -> bool:
        """Whether the length of the training has changed."""
        return self.old_length not in (None, self.length)

    def apply(self, runner: Runner) -> None:
        """Make a runner that is about to train resume from the checkpoint, and log the notes."""
        # mmengine would follow the path in `last_checkpoint`, which may lead to another work dir.
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
                'run is not resumed bit for bit'
            )


def checkpoint_folder(config: Config) -> Path:
    """Return the folder of a run's checkpoints: its work dir, or one below the hook's out_dir."""
    out_dir = _out_dir(config)
    if not out_dir:
        return Path(config.work_dir)
    return Path(out_dir, osp.basename(osp.abspath(config.work_dir)))


def _out_dir(config: Config) -> str:
    hook = config.get('default_hooks', {}).get('checkpoint') or {}
    return hook.get('out_dir') or ''


def prepare_resume(config: Config, extend: bool, command: Sequence[str]) -> Plan | None:
    """Decide how a run is resumed, before anything is written.

    Args:
        config: The run's config; its ``resume`` and ``load_from`` are set.
        extend: Whether the length of the run may change.
        command: The tool and its arguments, for the commands in errors.

    Returns:
        The plan, or None if there is no checkpoint, so that the run starts anew.

    Raises:
        CheckpointError: If the run cannot be resumed, see :func:`plan_resume`, or if its
            checkpoints are not where they should be.
    """
    folder = checkpoint_folder(config)
    _check_local(config)
    found = newest_checkpoint(config.work_dir, folder)
    if found is None:
        _check_new_start(config, folder, extend)
        # mmengine would resume from load_from, at the iteration of another training.
        config.resume = False
        return None
    config.resume, config.load_from = True, None
    plan = plan_resume(config, found.path, extend, command)
    if found.warning:
        plan.notes.insert(0, found.warning)
    return plan


def _check_local(config: Config) -> None:
    if '://' in _out_dir(config):
        raise CheckpointError(
            f'--resume: out_dir of CheckpointHook is {_out_dir(config)}, expected a local folder, '
            f'because no other is searched; copy the newest checkpoint to {config.work_dir} and '
            'leave out_dir out, or start a new run from its weights with --cfg-options '
            'load_from=ADDRESS'
        )


def _check_new_start(config: Config, folder: Path, extend: bool) -> None:
    pointer = Path(config.work_dir, POINTER)
    if pointer.is_file():
        name = pointer.read_text(encoding='utf-8', errors='replace').strip()
        raise CheckpointError(
            f'{pointer} names {name[:200]!r}, and {folder} has no checkpoint, expected that one '
            f'there; copy it there, correct out_dir of CheckpointHook, or remove {pointer} to '
            'start anew'
        )
    if extend:
        raise CheckpointError(
            f'--extend: {folder} has no checkpoint, expected one to go on with; check --work-dir, '
            'or leave --extend out to start anew'
        )


def check_same_on_all(plan: Plan | None) -> None:
    """Check that all processes, which may be on several hosts, resume from the same checkpoint.

    Raises:
        CheckpointError: If they do not.
    """
    own = plan.checkpoint.name if plan else 'none'
    first = [own]
    broadcast_object_list(first)
    if first[0] != own:
        raise CheckpointError(
            f'the newest checkpoint of the first process is {first[0]}, here it is {own}, expected '
            'the same: put the work dir where all hosts see it, or copy it to each'
        )


def how_to_go_on(config: Config, command: Sequence[str], ended: str = 'Interrupted') -> str:
    """Return the message for a user whose run has ended early.

    Args:
        config: The run's config.
        command: The tool and its arguments.
        ended: How it has ended.
    """
    folder = checkpoint_folder(config)
    try:
        found = newest_checkpoint(config.work_dir, folder)
    except CheckpointError as error:
        return f'{ended}. {error}'
    if found is None:
        return f'{ended} before the first checkpoint: {folder} has nothing to go on with.'
    return f'{ended}. To go on from {found.path}: {resume_command(command)}'


def plan_resume(config: Config, checkpoint: Path, extend: bool, command: Sequence[str]) -> Plan:
    """Compare the settings of a checkpoint with the present ones.

    Args:
        config: The present config. If the run is extended, the schedules that ended with the
            training are changed to end with it again.
        checkpoint: The checkpoint to resume from.
        extend: Whether the length of the run may change.
        command: The tool and its arguments, for the commands in errors.

    Raises:
        CheckpointError: If the checkpoint lacks what a training needs, if the length differs
            without ``extend`` or is below the iterations done, or if the optimizer or the schedules
            have other types.
    """
    new_run = new_run_command(command, config.work_dir, checkpoint)
    found = _read_checkpoint(checkpoint, config, new_run)
    meta = found['meta']
    unit, length = run_length(config)
    iteration = meta['epoch' if unit == 'max_epochs' else 'iter']
    plan = Plan(checkpoint, iteration, length, None, meta.get('world_size'), new_run)
    try:
        old = parse_config(meta['cfg'])
    except (KeyError, ValueError) as error:
        plan.notes.append(
            f'{checkpoint} does not say with which settings it was trained ({error}): they are '
            'assumed to be the present ones'
        )
        return plan
    plan.old_length = run_length(old)[1]
    if stopped := found['message_hub'].get('runtime_info', {}).get(STOPPED):
        if early_stopping_hooks(old) == early_stopping_hooks(parse_config(config.pretty_text)):
            plan.stopped = stopped
        else:
            plan.notes.append(f'{checkpoint} was {stopped}. It goes on under the new settings')
    if plan.extends:
        _check_extension(plan, unit, extend, command)
        if moved := stretch(config, plan.old_length, length):
            plan.notes.append(f'--extend: {", ".join(moved)}')
        if sentence := early_end(config):
            plan.notes.append(sentence)
    differing = changes(old, parse_config(config.pretty_text))
    differing.pop(f'train_cfg.{unit}', None)
    for key, entries in orders(config).items():
        before = meta.get('orders', {}).get(key, entries)
        if before != entries and sorted(before) == sorted(entries):
            differing[f'{key}, in their order'] = (before, entries)
    if plan.extends:
        # The notes above already name the schedules' ends.
        differing = {
            key: values
            for key, values in differing.items()
            if not (key.startswith('param_scheduler.') and values[0] == plan.old_length)
        }
    if types := changed_types(differing, plan.extends):
        raise CheckpointError(
            f'{checkpoint} was trained with an optimizer or schedules of other types, expected the '
            f'same: the present ones cannot take over its state ({"; ".join(types)}); change that '
            f'back, or start a new run from these weights:\n  {new_run}'
        )
    if differing:
        plan.notes.append(
            f'the settings differ from those that {checkpoint} was trained with. '
            + describe_changes(differing, plan.extends)
        )
    return plan


def _read_checkpoint(checkpoint: Path, config: Config, new_run: str) -> dict:
    """Return a checkpoint after checking that a training can resume from it."""
    found = read_checkpoint(checkpoint, mmap=True)
    meta = found.get('meta') or {}
    wanted = {'meta', 'message_hub', 'optimizer', 'state_dict'}
    # Without their state, learning rates would start anew, or from a wrong value.
    wanted |= {'param_schedulers'} if schedules(config) else set()
    if (absent := sorted(wanted - found.keys())) or 'iter' not in meta:
        raise CheckpointError(
            f'{checkpoint} holds no {" and no ".join(absent or ["iteration"])}, expected all that '
            'a training leaves to go on (save_optimizer and save_param_scheduler of '
            f'CheckpointHook); move it away, or start a new run from its weights:\n  {new_run}'
        )
    return found


def _check_extension(plan: Plan, unit: str, extend: bool, command: Sequence[str]) -> None:
    change = (
        f'{unit} is {plan.length}, and the run in {plan.checkpoint} was started with '
        f'{plan.old_length}'
    )
    if plan.length < plan.iteration:
        raise CheckpointError(
            f'{change}, of which {plan.iteration} are done: it cannot end before that; raise '
            f'train_cfg.{unit}, or start a new run: {plan.new_run}'
        )
    if extend and unit == 'max_epochs':
        raise CheckpointError(
            f'{change}: --extend is only for trainings that count iterations, expected '
            "train_cfg=dict(type='IterBasedTrainLoop', max_iters=...); start a new run: "
            f'{plan.new_run}'
        )
    if not extend:
        raise CheckpointError(
            f'{change}: its learning rate and ramps have followed that length. Either start a new '
            f'run from these weights:\n  {plan.new_run}\nor go on with every schedule set to where '
            'a run of the new length would be by now:\n  '
            f'{resume_command(command, "--extend")}'
        )


@HOOKS.register_module()
class ResumeHook(Hook):
    """Check that the optimizer can take over the state in a checkpoint before it is loaded.

    Args:
        plan: How the run is resumed.
    """

    # After the hook that may refuse the model, and before the one that replays schedules.
    priority = 'BELOW_NORMAL'

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare the parameter groups.

        Raises:
            CheckpointError: If their number or their sizes differ.
        """
        # Checkpoints of a run that goes on are not of one that was ended.
        checkpoint.get('message_hub', {}).get('runtime_info', {}).pop(STOPPED, None)
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
    """Describe the parameter groups of an optimizer."""
    sizes = [len(group['params']) for group in state['param_groups']]
    # With settings for single parameters there are hundreds of groups of one parameter each.
    listed = f' (of {sizes})' if len(sizes) <= 8 else ''
    return f'{sum(sizes)} parameters in {len(sizes)} group(s){listed}'
