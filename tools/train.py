"""Train a model: ``python tools/train.py CONFIG``."""

import argparse
import sys

from options import add_cfg_options, add_launcher, add_trust, tell_rank


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Train a segmentor.')
    parser.add_argument('config', help='config file, or cct_mm::NAME for an installed one')
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
    parser.add_argument(
        '--amp',
        nargs='?',
        const='auto',
        choices=['auto', 'float16', 'bfloat16'],
        help='mixed precision; auto is float16 on a GPU, bfloat16 on a CPU',
    )
    add_trust(parser)
    add_cfg_options(parser)
    add_launcher(parser)
    args = parser.parse_args()
    tell_rank(args)
    return args


def main() -> None:
    """Train, with all that the package checks before and says after it."""
    args = parse_args()
    try:
        from cct_mm.engine.train import train
    except KeyboardInterrupt:
        raise SystemExit('Interrupted before the training began.') from None
    train(args, sys.argv)


if __name__ == '__main__':
    main()
