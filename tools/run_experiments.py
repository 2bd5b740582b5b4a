"""Run a grid of experiments: methods x axes x seeds, several at a time, and make its table.

python tools/run_experiments.py configs/experiments/toy.yaml
python tools/run_experiments.py configs/experiments/toy.yaml --split val      # while developing
python tools/run_experiments.py configs/experiments/toy.yaml --table-only
python tools/run_experiments.py configs/experiments/toy.yaml --dry-run
python tools/run_experiments.py configs/experiments/toy.yaml --launcher 'srun -n1' --jobs 8

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
    parser.add_argument(
        '--launcher',
        metavar='COMMAND',
        help="starts each run on a machine of its choice, such as 'srun -p gpu --gres=gpu:1 -n1': "
        'stands in front of the python commands; --jobs says how many run at a time',
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
    nothing = parser.add_mutually_exclusive_group()
    nothing.add_argument(
        '--table-only', action='store_true', help='make the table from what there is, run nothing'
    )
    nothing.add_argument(
        '--dry-run',
        action='store_true',
        help='print what would be run, with which options and for about how long; write nothing',
    )
    parser.add_argument(
        '--record', metavar='FILE', help='also write all seeds as JSON, see docs/records/README.md'
    )
    args = parser.parse_args()
    if args.jobs is not None and args.jobs < 1:
        parser.error(f'--jobs is {args.jobs}, expected at least 1: leave it out for the default')
    if args.launcher and args.jobs is None:
        parser.error(
            '--launcher runs on other machines, whose number is not known here: say with --jobs '
            'how many runs they carry at a time'
        )
    return args


def main() -> int:
    """Return 0 if all runs are done, 1 if one failed, 2 for bad input, 130 if interrupted."""
    args = parse_args()
    from cct_mm.lab.grids.screen import run

    return run(args, ROOT)


if __name__ == '__main__':
    sys.exit(main())
