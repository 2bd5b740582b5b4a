"""A training as ``tools/train.py`` starts it: checked before, explained when it ends early."""

import argparse
import errno
import os.path as osp
import signal
import sys
from collections.abc import Sequence

from mmengine.config import Config

from cct_mm.environment import problems

from .accumulation import lost_gradients
from .checkpoints.early_stopping import STOPPED
from .checkpoints.files import (
    CheckpointError,
    keep_others_out,
    numbered_checkpoints,
    require_writable,
)
from .checkpoints.loading import trust_checkpoint
from .checkpoints.lost_validation import last_validation
from .checkpoints.resume import (
    check_same_on_all,
    checkpoint_folder,
    how_to_go_on,
    prepare_resume,
)
from .config_file import check_training, missing_hooks, read_config
from .memory import advice_on_memory, is_out_of_memory
from .mixed_precision import enable_amp
from .processes.failures import explain
from .processes.launch import (
    is_first_process,
    leave_processes,
    may_be_restarted,
    prepare_processes,
    restarted,
)
from .quiet_runner import QuietRunner
from .run_length import early_end

ONE_VALUE = 'Expected more than 1 value per channel'
"""How PyTorch begins to refuse batch norm on one image whose map is a single point."""


def _train(args: argparse.Namespace, cfg: Config, command: Sequence[str]) -> None:
    """Start or resume a training.

    Raises:
        CheckpointError: If the run cannot start, resume, or write its checkpoints.
    """
    resume = args.resume or args.extend or restarted() or cfg.get('resume', False)
    plan = prepare_resume(cfg, args.extend, command) if resume else None
    lost = plan and last_validation(cfg.work_dir) not in (None, plan.iteration)
    if plan and plan.finished and not (lost and cfg.get('val_cfg')):
        if is_first_process(cfg):
            print(
                f'{plan.checkpoint}: this run is finished, with all its {plan.length} iterations; '
                'raise train_cfg.max_iters and add --extend to train on'
            )
        return
    if plan and plan.stopped:
        if is_first_process(cfg):
            print(
                f'{plan.checkpoint}: this run was {plan.stopped}; to train on, remove the hook '
                'from custom_hooks or give it a larger patience'
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
    runner = QuietRunner.from_cfg(cfg)
    check_same_on_all(plan)
    if plan:
        plan.apply(runner)
    elif resume:
        runner.logger.info(f'--resume: {folder} has no checkpoint yet, so this is a new training')
    for sentence in (missing_hooks(cfg), lost_gradients(cfg), '' if plan else early_end(cfg)):
        if sentence:
            runner.logger.warning(sentence)
    if before:
        runner.logger.warning(
            f'{folder} has {", ".join(before)} of a run before, and this is a new one, which '
            'overwrites files of these names; --resume goes on with that run'
        )
    runner.train()
    if stopped := runner.message_hub.get_info(STOPPED):
        runner.logger.info(f'This run was {stopped}')
    runner.logger.info(f'Done: logs and checkpoints are in {cfg.work_dir}')


def train(args: argparse.Namespace, command: Sequence[str]) -> None:
    """Read the config and train.

    Args:
        args: The command line of ``tools/train.py``.
        command: The tool and its arguments as they were typed, for advice on how to go on.

    Raises:
        SystemExit: With a sentence, if the training cannot start or go on, or is interrupted.
    """
    if found := problems():
        raise SystemExit('\n'.join(found))
    for checkpoint in args.trust_checkpoint:
        trust_checkpoint(checkpoint)
    cfg = _read(args)
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
        _train(args, cfg, command)
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
    except ValueError as error:
        if ONE_VALUE not in str(error):
            raise
        explain(error)
        raise SystemExit(
            f'batch norm has one value of a channel to train on, expected several ({error}): a '
            'head that pools the map to a point, such as PSPHead and UPerHead, needs two images of '
            'a kind in a batch; set labeled_per_batch and unlabeled_per_batch of '
            'train_dataloader.sampler to 2 or more, and train_dataloader.batch_size to their sum'
        ) from None
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        # Tells the other processes, if there are some.
        explain(error)
        advice = advice_on_memory(error, cfg)
        raise SystemExit(f'{advice}\n{how_to_go_on(cfg, command, "Ended")}') from None
    except KeyboardInterrupt:
        # Checksums take a moment, in which an impatient user may interrupt again.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        if is_first_process(cfg):
            print(how_to_go_on(cfg, command), file=sys.stderr)
        raise SystemExit(130) from None


def _read(args: argparse.Namespace) -> Config:
    try:
        cfg = read_config(args.config, args.cfg_options)
        check_training(cfg)
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(str(error)) from None
    cfg.launcher = args.launcher
    return cfg
