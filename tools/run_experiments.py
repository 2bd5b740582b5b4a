"""Run a grid of experiments: methods x axes x seeds, several at a time, and make its table.

python tools/run_experiments.py configs/experiments/toy.yaml
python tools/run_experiments.py configs/experiments/toy.yaml --split val      # while developing
python tools/run_experiments.py configs/experiments/toy.yaml --table-only

Call it again to go on after an interruption or a failure: finished runs are kept, started ones
resume from their last checkpoint. The validation split leaves the test images untouched, and the
test split is evaluated later from the same trainings. Results are in WORK_DIR/<grid>/.
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('grid', help='grid file, e.g. configs/experiments/toy.yaml')
    parser.add_argument(
        '--work-dir', default='work_dirs/experiments', help='where results are kept [%(default)s]'
    )
    parser.add_argument(
        '--split',
        choices=['test', 'val', 'test+tta', 'val+tta'],
        help="split to evaluate on, in place of the grid's; +tta averages over scales and flips",
    )
    parser.add_argument(
        '--jobs',
        type=int,
        help='runs at a time [one for each GPU, or cores / threads without GPUs]',
    )
    stale = parser.add_mutually_exclusive_group()
    stale.add_argument(
        '--keep',
        action='store_const',
        dest='stale',
        const='keep',
        help='use results of another config, code or data, marked in the table',
    )
    stale.add_argument(
        '--rerun',
        action='store_const',
        dest='stale',
        const='rerun',
        help='move such results to stale-<hash>/ and run them again',
    )
    parser.add_argument(
        '--table-only', action='store_true', help='make the table from what there is, run nothing'
    )
    parser.add_argument(
        '--record', metavar='FILE', help='also write all seeds as JSON, see docs/records/README.md'
    )
    args = parser.parse_args()
    if args.jobs is not None and args.jobs < 1:
        parser.error(f'--jobs is {args.jobs}, expected at least 1: leave it out for the default')
    return args


def main() -> int:
    """Return 0 if all runs are done, 1 if one failed, 2 for bad input, 130 if interrupted."""
    args = parse_args()
    from cct_mm.lab.grids.screen import run

    return run(args, ROOT)


if __name__ == '__main__':
    sys.exit(main())
