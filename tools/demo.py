"""Train a supervised baseline and CCT on two domains of toy scenes: ``python tools/demo.py``.

Each is one network for both domains, which differ in classes and looks. Takes a few minutes on two
cores and needs no download. Ends with a table of mIoU, what the unlabeled images gave in this run
and over five seeds, a picture of test images and a report.
"""

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GRID = 'configs/experiments/demo.yaml'
RECORD = 'configs/experiments/demo_record.json'


def main() -> int:
    """Run the demo; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--work-dir', default='work_dirs/experiments', help='where results go [%(default)s]'
    )
    args = parser.parse_args()
    # After the arguments: these imports take seconds.
    from cct_mm.lab.toy_scenes import write_toy_scenes

    data = Path(os.environ.get('CCT_MM_DATA', 'data')).absolute()
    if not os.access(data if data.exists() else data.parent, os.W_OK):
        # Shared data folders are often read-only; the toy scenes can live anywhere.
        data = Path('data').absolute()
    os.environ['CCT_MM_DATA'] = str(data)
    work_dir = Path(args.work_dir).absolute()
    print(f'Scenes: {write_toy_scenes(data, demo=True)}', flush=True)
    # The grid names its configs from here, which an installed package has beside its tools.
    os.chdir(ROOT)
    command = [sys.executable, 'tools/run_experiments.py', GRID, '--rerun']
    # Ctrl-C is for the grid alone, which stops its trainings in order and says how to go on.
    signal.signal(signal.SIGINT, lambda *_: None)
    code = subprocess.call([*command, '--work-dir', str(work_dir)])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if not code:
        present(work_dir)
    return code


def present(work_dir: Path) -> None:
    """Show what the unlabeled images gave: a report, a picture and a sentence."""
    import cv2
    from mmengine.logging import MMLogger

    from cct_mm.lab.demo import gain_sentence, make_picture
    from cct_mm.lab.grids import load_grid
    from cct_mm.lab.grids.record import read_json
    from cct_mm.lab.report import write_report
    from cct_mm.lab.report.evaluation import evaluate
    from cct_mm.lab.report.runs import read_groups

    # The scores are in the report.
    MMLogger.get_current_instance().setLevel('ERROR')
    grid = load_grid(GRID)
    folder = work_dir / grid.name
    report = write_report([folder], folder / 'report.html', split=grid.split)
    runs = {group.method: group.first for group in read_groups([folder])}
    picture = make_picture({name: evaluate(run, grid.split) for name, run in runs.items()})
    cv2.imwrite(str(folder / 'demo.png'), picture[..., ::-1])
    gained = gain_sentence(
        {name: run.record['mIoU'] for name, run in runs.items()}, read_json(RECORD)
    )
    print(f'{gained}\nPicture: {folder / "demo.png"}\nReport: {report}')


if __name__ == '__main__':
    try:
        sys.exit(main())
    except OSError as error:
        sys.exit(f'demo: {error}')
    except KeyboardInterrupt:
        print('\nInterrupted; the same command goes on.', file=sys.stderr)
        sys.exit(130)
