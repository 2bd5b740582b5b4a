"""Train a supervised baseline and CCT on two domains of toy scenes: ``python tools/demo.py``.

Each is one network for both domains, which differ in classes and looks. Takes a few minutes on two
cores and needs no download. Ends with a table of mIoU, what the unlabeled images gave in this run
and over five seeds, a picture of test images of each domain, and a report.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GRID = 'configs/experiments/demo.yaml'
SEEDS_GRID = 'configs/experiments/demo_seeds.yaml'
RECORD = Path('configs/experiments/demo_record.json')


def main() -> int:
    """Run the demo; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--work-dir', default='work_dirs/experiments', help='where results go [%(default)s]'
    )
    parser.add_argument(
        '--record',
        action='store_true',
        help=f'run five seeds instead, and write what they gave to {RECORD}',
    )
    args = parser.parse_args()
    os.chdir(ROOT)
    # After the arguments: these imports take seconds.
    from cct_mm.lab.toy_scenes import write_toy_scenes

    data = Path(os.environ.setdefault('CCT_MM_DATA', 'data'))
    if not os.access(data if data.exists() else data.parent, os.W_OK):
        # Shared data folders are often read-only; the toy scenes can live anywhere.
        data = Path('data')
        os.environ['CCT_MM_DATA'] = str(data)
    print(f'Scenes: {write_toy_scenes(data, demo=True)}', flush=True)
    grid = SEEDS_GRID if args.record else GRID
    command = [sys.executable, 'tools/run_experiments.py', grid, '--rerun']
    code = subprocess.call([*command, '--work-dir', args.work_dir])
    if code:
        return code
    show = record if args.record else present
    show(grid, Path(args.work_dir))
    return 0


def record(grid_file: str, work_dir: Path) -> None:
    """Write what the runs over several seeds gave to ``RECORD``."""
    from cct_mm.lab.demo import make_record
    from cct_mm.lab.grids import load_grid
    from cct_mm.lab.grids.jobs import read_jobs
    from cct_mm.lab.grids.record import write_json

    write_json(RECORD, make_record(read_jobs(load_grid(grid_file), work_dir, ROOT), ROOT))
    print(f'Record: {RECORD}')


def present(grid_file: str, work_dir: Path) -> None:
    """Show what the unlabeled images gave: a sentence, a picture and a report."""
    import cv2
    from mmseg.utils import register_all_modules

    import cct_mm  # noqa: F401  registers everything
    from cct_mm.lab.demo import gain_sentence, make_picture, scores
    from cct_mm.lab.grids import load_grid
    from cct_mm.lab.grids.jobs import read_jobs
    from cct_mm.lab.grids.record import read_json
    from cct_mm.lab.report import write_report

    register_all_modules(init_default_scope=True)
    grid = load_grid(grid_file)
    jobs = read_jobs(grid, work_dir, ROOT)
    folder = work_dir / grid.name
    picture = folder / 'demo.png'
    cv2.imwrite(str(picture), make_picture(jobs)[..., ::-1])
    report = write_report([folder], folder / 'report.html', split=grid.split)
    print(gain_sentence(scores(jobs), read_json(RECORD)))
    print(f'Picture: {picture}')
    print(f'Report: {report}')


if __name__ == '__main__':
    sys.exit(main())
