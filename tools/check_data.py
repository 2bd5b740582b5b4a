"""Check all data of a config before training: ``python tools/check_data.py CONFIG``.

Every image and mask of every source of train_dataloader, val_dataloader and test_dataloader is
loaded as training loads it. The report names files that are missing or cannot be read, sizes,
types, orientations, label values and classes, and images that are in training and in evaluation (by
their pixels, so that a copy as PNG or BMP counts). Masks of unlabeled sources are never opened.
Files that have not changed since the last time are not read again.

Exit code: 0 without problems, 1 with problems, 2 if the config or the command line is wrong.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from options import add_cfg_options


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('--json', type=Path, help='file for all that is found')
    parser.add_argument(
        '--workers',
        type=int,
        help='number of processes (default: one for each core)',
    )
    add_cfg_options(parser)
    args = parser.parse_args(argv)
    if args.workers is not None and args.workers < 1:
        parser.error(f'--workers {args.workers}: expected at least 1')
    if args.json and (args.json.is_dir() or not os.access(args.json.parent, os.W_OK)):
        parser.error(f'--json {args.json}: expected a file in a folder that can be written')
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Check the data.

    Args:
        argv: Command line without the program's name. Default: that of the process.

    Returns:
        The exit code.
    """
    args = parse_args(argv)
    from cct_mm.datasets.checks.screen import check_data

    return check_data(args.config, args.cfg_options, args.workers, args.json)


if __name__ == '__main__':
    sys.exit(main())
