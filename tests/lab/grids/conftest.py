"""A repository in miniature, with small programs that stand in for tools/train.py and test.py."""

import os
import sys
import textwrap
from functools import partial
from pathlib import Path

import pytest
import torch

from cct_mm.lab.grids import load_grid, make_summary, run_grid, runner
from cct_mm.lab.grids.jobs import read_jobs
from cct_mm.lab.grids.record import describe_machine

SRUN = Path(__file__).parents[2] / 'helpers/srun.py'

TRAIN = """
import json, os, shutil, sys, time

config, work_dir = sys.argv[1], sys.argv[sys.argv.index('--work-dir') + 1]
options = dict(option.split('=') for option in sys.argv[sys.argv.index('--cfg-options') + 1:])
settings = {}
exec(open(config).read(), settings)
seed, total = int(options['randomness.seed']), settings['train_cfg']['max_iters']
if seed in settings['failing_seeds']:
    print('\\n'.join(f'line {number}' for number in range(40)))
    sys.exit('the loss is not finite')

if os.environ.get('SLURMD_NODENAME') in settings.get('failing_nodes', []):
    os.kill(os.getpid(), 9)

start, pointer = 0, os.path.join(work_dir, 'last_checkpoint')
if '--resume' in sys.argv and os.path.exists(pointer):
    start = int(open(pointer).read().rpartition('_')[2].removesuffix('.pth'))
folder = os.path.join(work_dir, str(time.time_ns()), 'vis_data')
os.makedirs(folder)
print('threads', os.environ['OMP_NUM_THREADS'], 'from', start, flush=True)
for step in range(start + 1, total + 1):
    time.sleep(settings['pause'])
    lines = [dict(iter=step, step=step, time=0.5, memory=100 + step, loss=1.0)]
    if step % 2 == 0 or step == total:
        checkpoint = os.path.abspath(os.path.join(work_dir, f'iter_{step}.pth'))
        shutil.copy('stand_in/checkpoint.pth', checkpoint)
        open(pointer, 'w').write(checkpoint)
        # Best in the middle, so that last and best differ.
        lines.append(dict(step=step, mIoU=60.0 - abs(step - 4)))
    with open(os.path.join(folder, 'scalars.json'), 'a') as file:
        file.writelines(json.dumps(line) + '\\n' for line in lines)
    while os.path.exists('hold') and os.path.exists(pointer):
        time.sleep(0.01)
    if step == settings.get('stop_at'):
        break
"""

TEST = """
import json, os, sys

config, checkpoint = sys.argv[1], sys.argv[2]
out, split = (sys.argv[sys.argv.index(key) + 1] for key in ('--out', '--split'))
options = dict(option.split('=') for option in sys.argv[sys.argv.index('--cfg-options') + 1:])
settings = {}
exec(open(config).read(), settings)
assert os.path.isfile(checkpoint) and not os.path.exists(out)
value = settings['quality'] + int(options['randomness.seed']) + (10 if split == 'val' else 0)
metrics = {'mIoU': value, 'toy/mIoU': value, 'toy/IoU.sky': value + 1, 'toy/IoU.car': float('nan')}
json.dump(metrics, open(out, 'w'))
"""

CONFIG = """
train_cfg = dict(max_iters=6)
train_dataloader = dict(dataset=dict(data_root='data/toy', ann_file='train.txt'))
model = dict(channels=8, blocks=[])
pause = 0.0
failing_seeds = []
"""


class Lab:
    """The miniature repository, the current directory of its test."""

    def __init__(self, root):
        self.root = root
        self.folder = root / 'work' / 'toy'
        self.write('stand_in/train.py', TRAIN)
        self.write('stand_in/test.py', TEST)
        torch.save({}, root / 'stand_in/checkpoint.pth')
        self.write('cct_mm/models/net.py', 'width = 1\n')
        self.write('cct_mm/lab/grids/table.py', 'columns = 1\n')
        self.write('tools/train.py', '')
        self.write('tools/test.py', '')
        self.write('data/toy/train.txt', 'images/a.png labels/a.png\n')
        self.write('data/toy/images/a.png', 'pixels')
        self.write('data/toy/labels/a.png', 'labels')
        self.write('configs/supervised.py', CONFIG + 'quality = 50\n')
        self.write('configs/cct.py', CONFIG + 'quality = 52\n')
        self.grid_file(
            """
            name: toy
            methods: {supervised: configs/supervised.py, cct: configs/cct.py}
            baseline: supervised
            seeds: [0, 1]
            """
        )
        python = sys.executable
        self.run = partial(
            run_grid,
            work_dir='work',
            root='.',
            train_command=[python, str(root / 'stand_in/train.py')],
            test_command=[python, str(root / 'stand_in/test.py')],
            jobs=2,
            grace_seconds=10.0,
        )

    def write(self, path, text):
        path = self.root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def change(self, path, old, new):
        text = (self.root / path).read_text()
        assert old in text
        self.write(path, text.replace(old, new))

    def grid_file(self, text):
        self.write('grid.yaml', textwrap.dedent(text))

    def grid(self):
        return load_grid('grid.yaml')

    def summary(self):
        """The record that the grid would have on this machine, without running it."""
        machine = {**describe_machine(), 'runs_at_a_time': 2, 'threads': 1}
        jobs = read_jobs(self.grid(), 'work', '.')
        for job in jobs:
            score = {'supervised': 50.0, 'cct': 52.0}[job.run.method] + job.run.seed
            times = dict(train_seconds=60.0, seconds_per_iteration=0.5, iterations=6)
            job.record = dict(mIoU=score, domains={}, machine=machine, **times)
        command = 'python tools/run_experiments.py grid.yaml'
        return make_summary(self.grid(), jobs, command, '.')


@pytest.fixture
def lab(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runner, '_POLL_SECONDS', 0.02)
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    return Lab(tmp_path)


@pytest.fixture
def srun(tmp_path, monkeypatch):
    """Two nodes, and ``srun`` on the path, which runs commands on them."""
    nodes = tmp_path / 'nodes'
    nodes.mkdir()
    for name in ('node1', 'node2'):
        (nodes / name).touch()
    program = tmp_path / 'bin' / 'srun'
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {SRUN} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv('PATH', f'{program.parent}:{os.environ["PATH"]}')
    monkeypatch.setenv('STAND_IN_NODES', str(nodes))
    return ['srun', '-p', 'gpu', '--gres=gpu:1', '-n1']
