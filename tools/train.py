"""Train a model: ``python tools/train.py CONFIG``."""

import argparse
import os
import os.path as osp

import torch
from mmengine.config import Config, DictAction
from mmengine.runner import Runner, find_latest_checkpoint

from cct_mm.engine.config_file import read_config
from cct_mm.engine.launch import leave_processes, prepare_processes, restarted
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


def main() -> None:
    """Train."""
    args = parse_args()
    if found := problems():
        raise SystemExit('\n'.join(found))
    cfg = read_config(args.config)
    cfg.launcher = args.launcher
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    prepare_processes(cfg)
    if args.work_dir or not cfg.get('work_dir'):
        name = osp.splitext(osp.basename(args.config))[0]
        cfg.work_dir = args.work_dir or osp.join('work_dirs', name)
    if args.amp:
        enable_amp(cfg, args.amp)
    cfg.resume = args.resume or restarted() or cfg.get('resume', False)
    if cfg.resume and cfg.get('load_from'):
        # mmengine would resume from load_from: another training's iteration and optimizer.
        if find_latest_checkpoint(cfg.work_dir):
            cfg.load_from = None
        else:
            cfg.resume = False
    runner = Runner.from_cfg(cfg)
    runner.train()
    runner.logger.info(f'Done: logs and checkpoints are in {cfg.work_dir}')
    leave_processes()


if __name__ == '__main__':
    main()
