"""Training and evaluation on two processes, by the launch scripts."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cct_mm.datasets.toy_scenes import write_toy_scenes

ROOT = Path(__file__).resolve().parents[2]
CONFIG = 'configs/cct/cct_toy.py'
OPTIONS = [
    '--cfg-options',
    'model.backbone.init_cfg=None',
    'train_cfg.max_iters=2',
    'train_cfg.val_interval=2',
    'train_dataloader.num_workers=0',
    'train_dataloader.persistent_workers=False',
    # An odd number: two processes load one of them twice, and it must count once.
    'test_dataloader.dataset.domains.day.labeled.indices=11',
    'val_dataloader.dataset.domains.day.labeled.indices=11',
]


@pytest.fixture(scope='module')
def environment(tmp_path_factory):
    root = tmp_path_factory.mktemp('data')
    write_toy_scenes(root)
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    return {
        **os.environ,
        'CCT_MM_DATA': str(root),
        'PYTHON': sys.executable,
        'PORT': str(port),
        'OMP_NUM_THREADS': '1',
        'CUDA_VISIBLE_DEVICES': '',
    }


def run(command, environment):
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]


def test_two_processes_train_and_evaluate_like_one(environment, tmp_path):
    run(['tools/dist_train.sh', CONFIG, '2', '--work-dir', str(tmp_path), *OPTIONS], environment)
    checkpoint = str(tmp_path / 'iter_2.pth')
    two, one = tmp_path / 'two.json', tmp_path / 'one.json'
    shared = ['--work-dir', str(tmp_path)]
    run(
        ['tools/dist_test.sh', CONFIG, checkpoint, '2', *shared, '--out', str(two), *OPTIONS],
        environment,
    )
    run(
        [sys.executable, 'tools/test.py', CONFIG, checkpoint, *shared, '--out', str(one), *OPTIONS],
        environment,
    )
    assert json.loads(two.read_text()) == json.loads(one.read_text())


def test_scripts_say_how_they_are_called():
    for script in ('dist_train.sh', 'dist_test.sh'):
        done = subprocess.run([f'tools/{script}'], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 2
        assert done.stderr.startswith('usage: ')
