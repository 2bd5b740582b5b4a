"""Repeat one seed of a published result and compare: ``python tools/verify.py ROW``.

Without ROW it lists the rows of docs/records. On the machine and versions of the record the result
has to be exactly the same, elsewhere and on a GPU within two standard errors. Trains as long as the
row's runs did; an interrupted one goes on. Needs the data (data/README.md).
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERDICTS = {True: ('Agrees', 0), False: ('Does not agree', 1), None: ('Cannot be told', 3)}


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'row', nargs='?', help='RECORD:METHOD[:AXIS=VALUE...][:seed=SEED], e.g. camvid_cpu:cct'
    )
    parser.add_argument(
        '--work-dir', default='work_dirs/verify', help='where the run is kept [%(default)s]'
    )
    return parser.parse_args()


def main() -> int:
    """Return 0 if the result agrees, 1 if not or if the run failed, 2 for bad input.

    And 3 if nobody can tell: another result than the only one that is known.
    """
    args = parse_args()
    from mmengine.logging import MMLogger

    from cct_mm.lab.grids import GridError
    from cct_mm.lab.grids.verify import find_row, judge, list_rows, read_rows, repeat

    MMLogger.get_current_instance().setLevel('WARNING')
    try:
        rows = read_rows(ROOT)
        if args.row is None:
            print(list_rows(rows))
            print('\nRepeat one by make verify ROW=...; :seed=2 behind it chooses another seed.')
            return 0
        row, run = find_row(rows, args.row)
        job = repeat(row, run, args.work_dir, ROOT)
    except GridError as error:
        print(f'verify.py: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('\nInterrupted; the same command goes on from the last checkpoint.', file=sys.stderr)
        return 130
    if job.record is None:
        return 1
    verdict = judge(row, job.record, ROOT)
    word, code = VERDICTS[verdict.agrees]
    print(f'{word}. {verdict.text}\nRun: {job.folder}')
    return code


if __name__ == '__main__':
    sys.exit(main())
