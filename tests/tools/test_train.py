"""Training and evaluation as a user starts them, on a few toy scenes with a network of no size.

All runs are processes of their own. Most are forked from one that has paid for the imports; two
start from nothing, as on a command line.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
import torch

from cct_mm.datasets import toy_scenes

ROOT = Path(__file__).parents[2]

CONFIG = f"""
_base_ = {str(ROOT / 'configs/cct/cct_toy.py')!r}
model = dict(
    backbone=dict(
        _delete_=True,
        type='ResNetV1c',
        depth=18,
        stem_channels=8,
        base_channels=8,
        num_stages=3,
        strides=(1, 2, 1),
        dilations=(1, 1, 2),
        out_indices=(0, 1, 2),
    ),
    neck=None,
    # One with dropout, whose draws have to survive a resume too.
    decode_head=dict(
        _delete_=True,
        type='FCNHead',
        in_channels=32,
        in_index=2,
        channels=8,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.5,
    ),
    auxiliary=dict(in_channels=32),
)
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(labeled_per_batch=2, unlabeled_per_batch=2),
)
train_cfg = dict(max_iters=6, val_interval=6)
param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=0, begin=0, end=6, by_epoch=False)]
default_hooks = dict(
    checkpoint=dict(interval=3, max_keep_ckpts=-1, save_best=None), logger=dict(interval=1)
)
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(vis_backends=vis_backends)
"""

FORK_A_RUN_FOR_EACH_LINE = """
import gc, json, os, runpy, sys

# What libraries print goes elsewhere than the exit codes.
codes = os.fdopen(os.dup(1), 'w')
os.dup2(2, 1)
import cct_mm, matplotlib.pyplot, mmengine.runner, torch.distributed
from yapf.yapflib import yapf_api

# mmengine lays its config out anew for each log and checkpoint, which takes longer than training.
yapf_api.FormatCode = lambda text, **style: (text, True)
gc.freeze()

for line in sys.stdin:
    log, *arguments = json.loads(line)
    child = os.fork()
    if child == 0:
        file = os.open(log, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name='__main__')
        sys.exit()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=codes, flush=True)
"""

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
        self.config.write_text(CONFIG)
        self.environment = {
            **os.environ,
            'CCT_MM_DATA': str(root / 'data'),
            'CUDA_VISIBLE_DEVICES': '',
            'OMP_NUM_THREADS': '1',
        }
        self.parent = subprocess.Popen(
            [sys.executable, '-c', FORK_A_RUN_FOR_EACH_LINE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=self.environment,
        )

    def command(self, tool, *arguments, work_dir):
        arguments = [tool, str(self.config), *map(str, arguments)]
        return [*arguments, '--work-dir', str(self.root / work_dir)]

    def fork(self, tool, *arguments, work_dir):
        """Start a tool with the imports done."""
        log = self.root / f'{work_dir}.log'
        command = self.command(tool, *arguments, work_dir=work_dir)
        print(json.dumps([str(log), *command]), file=self.parent.stdin, flush=True)
        code = int(self.parent.stdout.readline())
        return Run(code, log.read_text(), self.root / work_dir)

    def start(self, tool, *arguments, work_dir):
        """Start a tool from nothing."""
        done = subprocess.run(
            [sys.executable, *self.command(tool, *arguments, work_dir=work_dir)],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=self.environment,
            check=False,
        )
        return Run(done.returncode, done.stdout + done.stderr, self.root / work_dir)

    def train(self, work_dir, *arguments, **options):
        options = [f'{key.replace("__", ".")}={value}' for key, value in options.items()]
        arguments += ('--cfg-options', *options) if options else ()
        run = self.fork('tools/train.py', *arguments, work_dir=work_dir)
        assert run.code == 0, run.output
        return run


@pytest.fixture(scope='module')
def tools(tmp_path_factory):
    root = tmp_path_factory.mktemp('train')
    with mock.patch.object(toy_scenes, 'SPLIT_SIZES', {'train': 16, 'val': 3, 'test': 3}):
        toy_scenes.write_toy_scenes(root / 'data')
    tools = Tools(root)
    yield tools
    tools.parent.stdin.close()
    tools.parent.wait()


@pytest.fixture(scope='module')
def straight(tools):
    """Six iterations without a stop, checkpoints after the third and the sixth."""
    return tools.train('straight')


def assert_same_weights(run, expected):
    weights, others = (r.checkpoint()['state_dict'] for r in (run, expected))
    assert weights.keys() == others.keys()
    for name, value in weights.items():
        assert torch.equal(value, others[name]), name


class TestTrain:
    def test_logs_the_losses_of_each_iteration_and_validates(self, straight):
        assert sorted(straight.losses) == [1, 2, 3, 4, 5, 6]
        assert {'loss', 'day.loss_ce', 'day.loss_unsupervised'} <= set(straight.losses[1])
        assert {'mIoU', 'day/mIoU', 'day/IoU.car'} <= set(straight.scalars[-1])

    def test_checkpoint_knows_classes_and_palette_of_every_domain(self, straight):
        domains = straight.checkpoint()['meta']['dataset_meta']['domains']
        assert list(domains) == ['day']
        assert tuple(domains['day']['classes']) == toy_scenes.DOMAINS['day']['classes']
        assert domains['day']['palette'] == toy_scenes.DOMAINS['day']['palette']

    def test_does_not_depend_on_the_number_of_workers(self, tools, straight):
        run = tools.train('workers', train_dataloader__num_workers=2)
        assert_same_weights(run, straight)
        assert run.scalars == straight.scalars

    def test_one_that_diverges_ends_with_the_step_and_keeps_the_checkpoint_from_before(self, tools):
        options = ['optim_wrapper.optimizer.lr=1e12', 'default_hooks.checkpoint.interval=1']
        options += ['default_hooks.checkpoint.max_keep_ckpts=1']
        run = tools.fork('tools/train.py', '--cfg-options', *options, work_dir='diverged')
        assert run.code == 1
        found = re.search(
            r'FloatingPointError: iteration (\d): (\S+).* not finite, domain day, '
            r'images (\S+/train/\S+), ',
            run.output,
        )
        assert found, run.output[-2000:]
        iteration = int(found[1])
        assert iteration > 1
        assert [path.name for path in run.work_dir.glob('*.pth')] == [f'iter_{iteration - 1}.pth']
        for name, value in run.checkpoint(iteration - 1)['state_dict'].items():
            assert value.isfinite().all(), name

    @pytest.mark.parametrize('num_workers', [0, 1])
    def test_resumed_after_three_iterations_ends_bit_for_bit_as_without_a_stop(
        self, tools, straight, num_workers
    ):
        work_dir = tools.root / f'resumed-{num_workers}'
        work_dir.mkdir()
        stopped = shutil.copy(straight.work_dir / 'iter_3.pth', work_dir)
        (work_dir / 'last_checkpoint').write_text(str(stopped))
        run = tools.train(work_dir.name, '--resume', train_dataloader__num_workers=num_workers)
        assert sorted(run.losses) == [4, 5, 6]
        assert run.losses == {t: straight.losses[t] for t in (4, 5, 6)}
        assert_same_weights(run, straight)
        optimizer, expected = (r.checkpoint()['optimizer']['state'] for r in (run, straight))
        assert optimizer.keys() == expected.keys()
        for index, state in optimizer.items():
            assert torch.equal(state['momentum_buffer'], expected[index]['momentum_buffer'])

    def test_resume_goes_on_with_itself_and_not_with_the_weights_it_once_started_from(
        self, tools, straight
    ):
        options = {'load_from': straight.work_dir / 'iter_6.pth', 'train_cfg__max_iters': 3}
        started = tools.train('pretrained', **options)
        # With --resume from the beginning, as by run_experiments.py, where there is nothing yet.
        run = tools.train('pretrained-2', '--resume', **options)
        assert run.losses == started.losses
        assert sorted(run.losses) == [1, 2, 3]
        assert run.losses[1] != straight.losses[1]

        options['train_cfg__max_iters'] = 6
        tools.train('pretrained-2', '--resume', **options)
        whole = tools.train('pretrained-3', **options)
        weights, expected = (
            torch.load(tools.root / name / 'iter_6.pth', weights_only=False)['state_dict']
            for name in ('pretrained-2', 'pretrained-3')
        )
        assert all(torch.equal(weights[name], expected[name]) for name in expected)
        assert any(
            not torch.equal(weights[name], value)
            for name, value in straight.checkpoint()['state_dict'].items()
        )
        assert whole.losses[1] == started.losses[1]


class TestMixedPrecision:
    def test_bfloat16_on_a_cpu_is_close_to_float32_and_keeps_float32_weights(self, tools, straight):
        run = tools.train('amp', '--amp', 'bfloat16', train_cfg__max_iters=1)
        loss, expected = (r.losses[1]['day.loss_ce'] for r in (run, straight))
        assert loss == pytest.approx(expected, rel=0.05)
        assert loss != expected
        weights = run.checkpoint(1)['state_dict'].values()
        assert {w.dtype for w in weights if w.is_floating_point()} == {torch.float32}

    def test_float16_on_a_cpu_is_refused(self, tools):
        run = tools.start('tools/train.py', '--amp', 'float16', work_dir='float16')
        assert run.code == 1
        assert run.output.endswith(
            '--amp float16: no GPU found, and float16 needs one; use --amp bfloat16 on a CPU\n'
        )
        assert not run.work_dir.exists()


@pytest.fixture(scope='module')
def checkpoint(straight):
    return straight.work_dir / 'iter_6.pth'


class TestEvaluation:
    def test_on_val_writes_what_training_validated(self, tools, straight, checkpoint):
        out = tools.root / 'val.json'
        run = tools.fork(
            'tools/test.py', checkpoint, '--split', 'val', '--out', out, work_dir='val'
        )
        assert run.code == 0, run.output
        metrics, expected = json.loads(out.read_text()), straight.scalars[-1]
        classes = toy_scenes.DOMAINS['day']['classes']
        names = ['mIoU', 'day/mIoU', *(f'day/IoU.{name}' for name in classes)]
        assert {name: metrics[name] for name in names} == {name: expected[name] for name in names}

    def test_is_on_the_test_images_unless_told_otherwise(self, tools, straight, checkpoint):
        out = tools.root / 'test.json'
        run = tools.fork('tools/test.py', checkpoint, '--out', out, work_dir='test')
        assert run.code == 0, run.output
        assert json.loads(out.read_text())['mIoU'] != straight.scalars[-1]['mIoU']

    def test_of_a_missing_checkpoint_names_it(self, tools):
        run = tools.start('tools/test.py', 'no.pth', work_dir='none')
        assert run.code == 2
        assert 'checkpoint no.pth does not exist, expected a .pth file that tools/train.py' in (
            run.output
        )
