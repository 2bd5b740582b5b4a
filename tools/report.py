"""Write a report on a run, on several, or on a grid, as one HTML page that needs nothing else.

python tools/report.py work_dirs/supervised_toy work_dirs/cct_toy --out report.html
python tools/report.py work_dirs/experiments/toy --out report.html

The first run is the baseline that the others are compared with.
"""

import argparse
import sys


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'work_dirs',
        nargs='+',
        metavar='WORK_DIR',
        help='work dir of tools/train.py, or folder of a grid of tools/run_experiments.py',
    )
    parser.add_argument('--out', default='report.html', help='the HTML page [%(default)s]')
    parser.add_argument(
        '--split',
        choices=['val', 'test'],
        help='images to evaluate on [those that a grid was evaluated on, otherwise val]',
    )
    parser.add_argument(
        '--baseline',
        help='what the others are compared with: a WORK_DIR or a method of a grid [the first '
        'WORK_DIR; in a grid the method supervised, or else the first by name]',
    )
    return parser.parse_args()


def main() -> int:
    """Return 0, or 2 for bad input."""
    args = parse_args()
    # Here, so that --help does not wait for PyTorch.
    from mmengine.logging import MMLogger

    from cct_mm.engine.checkpoints.files import CheckpointError
    from cct_mm.lab.grids import GridError
    from cct_mm.lab.report import ReportError, write_report

    # The scores are on the page.
    MMLogger.get_current_instance().setLevel('ERROR')
    try:
        out = write_report(args.work_dirs, args.out, args.split, args.baseline)
    except (ReportError, GridError, CheckpointError, OSError) as error:
        print(f'report.py: {error}', file=sys.stderr)
        return 2
    print(f'Report: {out} ({out.stat().st_size / 2**20:.1f} MiB)')
    return 0


if __name__ == '__main__':
    sys.exit(main())
