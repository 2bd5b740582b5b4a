"""Every command of docs/demo.md, in a copy of the repository whose runs take two iterations."""

import json
import os
import shlex
import shutil
import subprocess
import sys

import cv2
import pytest
import yaml
from doc_pages import ROOT, commands

PAGE = 'docs/demo.md'
TINY = {
    'train_cfg.max_iters': 2,
    'train_cfg.val_interval': 2,
    'train_dataloader.num_workers': 0,
    'train_dataloader.persistent_workers': False,
    'model.backbone.init_cfg': None,
    **{
        f'{split}_dataloader.dataset.domains.{domain}.labeled.indices': 4
        for split in ('val', 'test')
        for domain in ('day', 'night')
    },
}
pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def copy(tmp_path_factory):
    """A copy of the repository with tiny grids."""
    copy = tmp_path_factory.mktemp('copy')
    for name in ('tools', 'configs', 'cct_mm'):
        shutil.copytree(ROOT / name, copy / name)
    (copy / 'data').mkdir()
    for grid in (copy / 'configs/experiments').glob('demo*.yaml'):
        content = yaml.safe_load(grid.read_text())
        # In one folder, so that what `make demo` has trained is there when the seeds are run.
        content |= {'name': 'demo', 'seeds': [0], 'cfg_options': TINY}
        grid.write_text(yaml.safe_dump(content))
    return copy


def run(command, copy):
    if command == 'make demo':
        # What it runs once there is an environment.
        recipe = subprocess.check_output(
            ['make', '--no-print-directory', '-n', 'demo'], cwd=ROOT, text=True
        )
        assert recipe.splitlines()[-1].split()[-1] == 'tools/demo.py'
        command = 'python tools/demo.py'
    python, *arguments = shlex.split(command)
    assert python == 'python'
    if 'tools/train.py' in arguments:
        assert '--cfg-options' in arguments
        arguments += [f'{key}={value}' for key, value in TINY.items()]
    environment = {
        **os.environ,
        'PYTHONPATH': str(copy),
        'CCT_MM_DATA': 'data',
        'CUDA_VISIBLE_DEVICES': '',
        'OMP_NUM_THREADS': '1',
    }
    done = subprocess.run(
        [sys.executable, *arguments], cwd=copy, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_commands_in_their_order(copy):
    outputs = {command: run(command, copy) for command in commands(PAGE)}
    results = copy / 'work_dirs/experiments/demo'
    miou = {
        method: json.loads((results / f'{method}_seed0/result.json').read_text())['mIoU']
        for method in ('supervised', 'cct')
    }
    assert f'gave {miou["cct"] - miou["supervised"]:+.2f} mIoU in this run' in outputs['make demo']
    # Four images of each of two domains.
    height, width = cv2.imread(str(results / 'demo.png')).shape[:2]
    assert (height, width) > (8 * 3 * 96, 6 * 3 * 128)
    assert (results / 'report.html').stat().st_size > 100_000
    record = json.loads((copy / 'configs/experiments/demo_record.json').read_text())
    assert [list(row['mIoU']) for row in record['rows']] == [['0'], ['0']]


def test_figures_are_those_of_the_record():
    """The table of the page is that of the record."""
    record = json.loads((ROOT / 'configs/experiments/demo_record.json').read_text())
    text = (ROOT / PAGE).read_text()
    for row in record['rows']:
        for values in (row, *row['domains'].values()):
            mean = sum(values['mIoU'].values()) / len(values['mIoU'])
            assert f'{mean:.2f} ± ' in text
    assert record['commit'] in text
