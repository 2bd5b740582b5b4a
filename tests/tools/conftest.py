"""Training and evaluation as a user starts them, on a few toy scenes with a network of no size.

All runs are processes of their own. Most are forked from one that has paid for the imports; some
start from nothing, as on a command line.
"""

import json
import os
import subprocess
import sys
from unittest import mock

import pytest
import torch
from fork_server import ForkServer
from tiny_network import CONSTANT, ROOT, tiny_toy_config

from cct_mm.datasets.toy_scenes import DOMAINS
from cct_mm.lab.toy_scenes import writing

NOT_REPEATABLE = {'time', 'data_time', 'memory'}


class Run:
    """What a process left behind: its exit code, its output and its work dir."""

    def __init__(self, code, output, work_dir):
        self.code, self.output, self.work_dir = code, output, work_dir

    @property
    def scalars(self):
        """Everything that was logged, without the times that it took."""
        (path,) = self.work_dir.glob('*/vis_data/scalars.json')
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        return [{k: v for k, v in line.items() if k not in NOT_REPEATABLE} for line in lines]

    @property
    def losses(self):
        """The logged lines of training, by iteration."""
        return {line['iter']: line for line in self.scalars if 'iter' in line}

    def checkpoint(self, iteration=6):
        path = self.work_dir / f'iter_{iteration}.pth'
        return torch.load(path, map_location='cpu', weights_only=False)


class Tools:
    """Runs ``tools/*.py`` on the tiny config."""

    def __init__(self, root):
        self.root = root
        self.config = root / 'tiny.py'
        self.config.write_text(tiny_toy_config(iterations=6, interval=3))
        self.environment = {
            **os.environ,
            'CCT_MM_DATA': str(root / 'data'),
            'CUDA_VISIBLE_DEVICES': '',
            'OMP_NUM_THREADS': '1',
        }
        self.server = ForkServer(**self.environment)

    def command(self, tool, *arguments, work_dir, config=None):
        arguments = [tool, str(config or self.config), *map(str, arguments)]
        return [*arguments, '--work-dir', str(self.root / work_dir)]

    def fork(self, tool, *arguments, work_dir, config=None, **variables):
        """Run a tool with the imports done, and further environment variables."""
        log = self.root / f'{work_dir}.log'
        log.unlink(missing_ok=True)
        command = self.command(tool, *arguments, work_dir=work_dir, config=config)
        tool = self.server.run(log, *command, environment=variables)
        return Run(tool.code, tool.output, self.root / work_dir)

    def start(self, tool, *arguments, work_dir, config=None, **variables):
        """Start a tool from nothing."""
        done = subprocess.run(
            [sys.executable, *self.command(tool, *arguments, work_dir=work_dir, config=config)],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**self.environment, **variables},
            check=False,
        )
        return Run(done.returncode, done.stdout + done.stderr, self.root / work_dir)

    def train(self, work_dir, *arguments, **options):
        options = [f'{key.replace("__", ".")}={value}' for key, value in options.items()]
        arguments += ('--cfg-options', *options) if options else ()
        run = self.fork('tools/train.py', *arguments, work_dir=work_dir)
        assert run.code == 0, run.output
        return run


@pytest.fixture(scope='session')
def tools(tmp_path_factory):
    root = tmp_path_factory.mktemp('train')
    with mock.patch.object(writing, 'SPLIT_SIZES', {'train': 16, 'val': 3, 'test': 3}):
        writing.write_toy_scenes(root / 'data')
    tools = Tools(root)
    with tools.server:
        yield tools


@pytest.fixture(scope='session')
def straight(tools):
    """Six iterations without a stop, checkpoints after the third and the sixth."""
    return tools.train('straight')


@pytest.fixture(scope='session')
def two_domains(tools):
    """A config of both domains, and a checkpoint of it that predicts one class in each."""
    config = tools.root / 'two_domains.py'
    single = tools.config.read_text()
    config.write_text(single.replace('/cct/cct_toy.py', '/multi_domain/cct_toy.py'))
    options = ['train_cfg.max_iters=2', 'train_cfg.val_interval=2']
    options += ['default_hooks.checkpoint.interval=2']
    run = tools.fork(
        *('tools/train.py', '--cfg-options', *options), work_dir='two_domains', config=config
    )
    assert run.code == 0, run.output
    content = run.checkpoint(2)
    for name, value in content['state_dict'].items():
        if name.endswith(('conv_seg.weight', 'conv_seg.bias')):
            value.zero_()
        if name.endswith('conv_seg.bias'):
            (domain,) = (domain for domain in DOMAINS if domain in name.split('.'))
            value[DOMAINS[domain]['classes'].index(CONSTANT[domain])] = 1
    path = tools.root / 'constant.pth'
    torch.save(content, path)
    return config, path
