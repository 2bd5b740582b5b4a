"""Train a model: ``python tools/train.py CONFIG``."""

import argparse
import errno
import os
import os.path as osp
import signal
import sys

from mmengine.config import Config, DictAction
from mmengine.runner import Runner

from cct_mm.engine.checkpoints.files import (
    CheckpointError,
    keep_others_out,
    numbered_checkpoints,
    require_writable,
)
from cct_mm.engine.checkpoints.loading import add_trust_argument
from cct_mm.engine.checkpoints.lost_validation import last_validation
from cct_mm.engine.checkpoints.resume import (
    check_same_on_all,
    checkpoint_folder,
    how_to_go_on,
    prepare_resume,
)
from cct_mm.engine.config_file import check_training, merge_options, missing_hooks, read_config
from cct_mm.engine.mixed_precision import enable_amp
from cct_mm.engine.processes.launch import (
    is_first_process,
    leave_processes,
    may_be_restarted,
    prepare_processes,
    restarted,
)
from cct_mm.engine.run_length import early_end
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
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override config entries: key=value ...; _base_.NAME is the entry NAME of the config',
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def train(args: argparse.Namespace, cfg: Config) -> None:
    """Start or resume a training.

    Raises:
        CheckpointError: If the run cannot start, resume, or write its checkpoints.
    """
    resume = args.resume or args.extend or restarted() or cfg.get('resume', False)
    plan = prepare_resume(cfg, args.extend, sys.argv) if resume else None
    lost = plan and last_validation(cfg.work_dir) not in (None, plan.iteration)
    if plan and plan.finished and not (lost and cfg.get('val_cfg')):
        if is_first_process(cfg):
            print(
                f'{plan.checkpoint}: this run is finished, with all its {plan.length} iterations; '
                'raise train_cfg.max_iters and add --extend to train on'
            )
        return
    require_writable(cfg.work_dir, '--work-dir')
    if is_first_process(cfg):
        keep_others_out(cfg.work_dir)
    folder = checkpoint_folder(cfg)
    before = [] if plan else sorted(path.name for path in numbered_checkpoints(folder))
    if before and may_be_restarted() and not resume:
        raise CheckpointError(
            f'{folder} has {", ".join(before)} of a run before, expected none: if this new run is '
            'restarted (MAX_RESTARTS), it would go on with them; add --resume to go on with that '
            'run, move it away, or choose another --work-dir'
        )
    runner = Runner.from_cfg(cfg)
    check_same_on_all(plan)
    if plan:
        plan.apply(runner)
    elif resume:
        runner.logger.info(f'--resume: {folder} has no checkpoint yet, so this is a new training')
    for sentence in (missing_hooks(cfg), '' if plan else early_end(cfg)):
        if sentence:
            runner.logger.warning(sentence)
    if before:
        runner.logger.warning(
            f'{folder} has {", ".join(before)} of a run before, and this is a new one, which '
            'overwrites files of these names; --resume goes on with that run'
        )
    runner.train()
    runner.logger.info(f'Done: logs and checkpoints are in {cfg.work_dir}')


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
    if args.launcher == 'none':
        # A job that is ended shows how to go on, as after Ctrl-C. One of several processes could
        # not, while it waits for the others.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
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
        # Checksums take a moment, in which an impatient user may interrupt again.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        if is_first_process(cfg):
            print(how_to_go_on(cfg, sys.argv), file=sys.stderr)
        raise SystemExit(130) from None


if __name__ == '__main__':
    main()
