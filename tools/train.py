"""Train a model: ``python tools/train.py CONFIG``."""

import argparse
import errno
import os
import os.path as osp
import shlex
import sys
from pathlib import Path

import torch
from mmengine.config import Config, DictAction
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.runner import Runner

from cct_mm.engine.checkpoint_files import (
    CheckpointError,
    newest_checkpoint,
    numbered_checkpoints,
    require_writable,
)
from cct_mm.engine.checkpoint_loading import add_trust_argument
from cct_mm.engine.config_changes import early_end
from cct_mm.engine.config_file import check_training, merge_options, read_config
from cct_mm.engine.launch import leave_processes, prepare_processes, restarted
from cct_mm.engine.lost_validation import last_validation
from cct_mm.engine.resume import ExtendHook, Plan, plan_resume
from cct_mm.environment import problems


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Train a segmentor.')
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--work-dir', help='where logs and checkpoints go (default: work_dirs/CONFIG)'
    )
    parser.add_argument(
        '--resume',
        action='store_true',
        help='go on from the last checkpoint in the work dir; where there is none, start anew',
    )
    parser.add_argument(
        '--extend',
        action='store_true',
        help='go on as --resume does, under another train_cfg.max_iters: learning rate and ramps '
        'are set to where a run of that length would be',
    )
    add_trust_argument(parser)
    parser.add_argument(
        '--amp',
        nargs='?',
        const='auto',
        choices=['auto', 'float16', 'bfloat16'],
        help='mixed precision; auto is float16 on a GPU, bfloat16 on a CPU',
    )
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, help='override config entries: key=value ...'
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def enable_amp(cfg: Config, precision: str) -> None:
    """Switch the optimizer wrapper to mixed precision.

    Raises:
        SystemExit: For float16 on a CPU.
    """
    if torch.cuda.is_available():
        dtype = 'float16' if precision == 'auto' else precision
        loss_scale = 'dynamic' if dtype == 'float16' else 1.0
        cfg.optim_wrapper.update(type='AmpOptimWrapper', dtype=dtype, loss_scale=loss_scale)
    elif precision == 'float16':
        raise SystemExit(
            '--amp float16: no GPU found, and float16 needs one; use --amp bfloat16 on a CPU'
        )
    else:
        cfg.optim_wrapper.type = 'CPUAmpOptimWrapper'


def checkpoint_folder(cfg: Config) -> Path:
    """Return where the run's checkpoints are: the work dir, or below the hook's ``out_dir``."""
    hook = cfg.get('default_hooks', {}).get('checkpoint') or {}
    out_dir = hook.get('out_dir')
    return Path(out_dir, osp.basename(osp.abspath(cfg.work_dir))) if out_dir else Path(cfg.work_dir)


def prepare_resume(cfg: Config, extend: bool) -> Plan | None:
    """Decide what the run goes on with, before anything is written.

    Args:
        cfg: The run's config. Its ``resume`` and ``load_from`` become what is decided.
        extend: Whether the run may have another length.

    Returns:
        None for a new start.

    Raises:
        CheckpointError: The run cannot go on, see :func:`~cct_mm.engine.resume.plan_resume`.
    """
    found = newest_checkpoint(cfg.work_dir, checkpoint_folder(cfg))
    if found is None:
        if extend:
            raise CheckpointError(
                f'--extend: {checkpoint_folder(cfg)} has no checkpoint, expected one to go on '
                'with; check --work-dir, or leave --extend out to start anew'
            )
        # mmengine would resume from load_from: another training's iteration and optimizer.
        cfg.resume = False
        return None
    cfg.resume, cfg.load_from = True, None
    plan = plan_resume(cfg, found.path, extend, sys.argv)
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


def train(args: argparse.Namespace, cfg: Config) -> None:
    """Train.

    Raises:
        CheckpointError: The run cannot start, go on, or write its checkpoints.
    """
    plan = None
    if args.resume or args.extend or restarted() or cfg.get('resume', False):
        plan = prepare_resume(cfg, args.extend)
    lost = plan and last_validation(cfg.work_dir) not in (None, plan.iteration)
    if plan and plan.finished and not (lost and cfg.get('val_cfg')):
        if is_main_process():
            print(
                f'{plan.checkpoint}: this run is finished, with all its {plan.length} iterations; '
                'raise train_cfg.max_iters and add --extend to train on'
            )
        return
    require_writable(cfg.work_dir, '--work-dir')
    folder = checkpoint_folder(cfg)
    before = [] if plan else sorted(path.name for path in numbered_checkpoints(folder))
    runner = Runner.from_cfg(cfg)
    check_same_on_all(plan)
    if plan:
        plan.tell(runner)
        # mmengine would take what `last_checkpoint` says, which may be of another work dir.
        runner._load_from = str(plan.checkpoint)
        if plan.extends:
            # After the hook that may refuse the checkpoint.
            runner.register_hook(ExtendHook(plan.old_length), priority='LOW')
    elif sentence := early_end(cfg):
        runner.logger.warning(sentence)
    if before:
        runner.logger.warning(
            f'{folder} has {", ".join(before)} of a run before, and this is a new one, which '
            'overwrites files of these names; --resume goes on with that run'
        )
    runner.train()
    runner.logger.info(f'Done: logs and checkpoints are in {cfg.work_dir}')


def how_to_go_on(cfg: Config) -> str:
    """Return the sentence for who interrupts a run."""
    folder = checkpoint_folder(cfg)
    try:
        found = newest_checkpoint(cfg.work_dir, folder)
    except CheckpointError as error:
        return f'Interrupted. {error}'
    if found is None:
        return f'Interrupted before the first checkpoint: {folder} has nothing to go on with.'
    command = [word for word in sys.argv if word != '--resume']
    return (
        f'Interrupted. To go on from {found.path}: {shlex.join(["python", *command, "--resume"])}'
    )


def main() -> None:
    """Read the config and train."""
    args = parse_args()
    if found := problems():
        raise SystemExit('\n'.join(found))
    cfg = read_config(args.config)
    cfg.launcher = args.launcher
    merge_options(cfg, args.cfg_options)
    check_training(cfg)
    prepare_processes(cfg)
    if args.work_dir or not cfg.get('work_dir'):
        name = osp.splitext(osp.basename(args.config))[0]
        cfg.work_dir = args.work_dir or osp.join('work_dirs', name)
    if args.amp:
        enable_amp(cfg, args.amp)
    try:
        train(args, cfg)
        leave_processes()
    except CheckpointError as error:
        raise SystemExit(str(error)) from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise SystemExit(
            f'no room left on the disk ({error}): checkpoints in {cfg.work_dir} are whole; make '
            'room, then go on with --resume'
        ) from None
    except KeyboardInterrupt:
        if is_main_process():
            print(how_to_go_on(cfg), file=sys.stderr)
        raise SystemExit(130) from None


if __name__ == '__main__':
    main()
