"""Training and evaluation on two processes, by the launch scripts."""

import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cct_mm.lab.toy_scenes import write_toy_scenes

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


@pytest.mark.slow
def test_two_processes_train_and_evaluate_like_one(environment, tmp_path):
    # As configs for GPUs have it.
    config = tmp_path / 'synced.py'
    config.write_text(f"_base_ = {str(ROOT / CONFIG)!r}\nsync_bn = 'torch'\n")
    train = ['tools/dist_train.sh', str(config), '2', '--work-dir', str(tmp_path), *OPTIONS]
    run(train, environment)
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


EXACT = f"""
_base_ = {str(ROOT / 'configs/multi_domain/cct-adv_toy.py')!r}
model = dict(
    backbone=dict(init_cfg=None),
    # Batch norm would see one half of the batch on each process.
    norm='frozen',
    neck=dict(norm_cfg=dict(type='GN', num_groups=8)),
    # Every loss there is.
    decode_head=dict(
        loss_decode=[
            dict(type='CrossEntropyLoss', avg_non_ignore=True),
            dict(type='AnnealedCrossEntropy', threshold=0.9),
        ]
    ),
    loss_consistency=dict(type='ConsistencyLoss', confidence=0.3),
    loss_pairwise=dict(type='PairwiseLoss', num_decoders=3),
    discriminator=dict(queue_images=8),
)
# Not so long a step that rounding grows into a difference.
optim_wrapper = dict(optimizer=dict(lr=0.0002))
# Nor a schedule, which has the last iteration learn nothing.
param_scheduler = None
train_cfg = dict(max_iters=4)
val_cfg = val_dataloader = val_evaluator = None
default_hooks = dict(
    logger=dict(interval=1), checkpoint=dict(interval=1, max_keep_ckpts=4, save_best=None)
)
# Pseudo-labels: the masks of the labeled images.
train_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(domains=dict(
        day=dict(weak={{{{_base_.toy_day_n12.labeled}}}}),
        night=dict(weak={{{{_base_.toy_night_n12.labeled}}}}),
    )),
)
"""


def batches_of(number):
    return [
        '--cfg-options',
        f'train_dataloader.batch_size={3 * number}',
        f'train_dataloader.sampler.labeled_per_batch={number}',
        f'train_dataloader.sampler.unlabeled_per_batch={number}',
        f'train_dataloader.sampler.weak_per_batch={number}',
    ]


@pytest.fixture(scope='module')
def runs(environment, tmp_path_factory):
    """Train four iterations on two domains: on two processes, and on one with doubled batches."""
    folder = tmp_path_factory.mktemp('runs')
    config, two, one = folder / 'exact.py', folder / 'two', folder / 'one'
    config.write_text(EXACT)
    run(
        ['tools/dist_train.sh', str(config), '2', '--work-dir', str(two), *batches_of(1)],
        environment,
    )
    command = [sys.executable, 'tools/train.py', str(config), '--work-dir', str(one)]
    run([*command, *batches_of(2)], environment)
    return {'two': two, 'one': one}


def curve(folder):
    (path,) = folder.glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
def test_two_processes_have_the_loss_curve_of_one_with_doubled_batches(runs):
    two, one = curve(runs['two']), curve(runs['one'])
    assert len(two) == len(one) == 4
    for found, expected in zip(two, one, strict=True):
        parts = ('loss', 'weak', 'pairwise')
        losses = {n: value for n, value in expected.items() if any(part in n for part in parts)}
        kinds = ('loss_ce', 'loss_ab_ce', 'loss_unsupervised', 'loss_adversarial', *parts)
        assert all(any(kind in name for name in losses) for kind in kinds), losses
        for name, value in losses.items():
            assert found[name] == pytest.approx(value, rel=2e-4, abs=1e-6), name
    assert {name.split('.')[0] for x in one for name in x if '.loss' in name} == {'day', 'night'}


@pytest.mark.slow
@pytest.mark.parametrize('processes', ['one', 'two'])
def test_a_step_on_one_domain_leaves_the_other_bit_for_bit(runs, processes):
    states = [
        torch.load(runs[processes] / f'iter_{i}.pth', weights_only=False)['state_dict']
        for i in (1, 2, 3, 4)
    ]
    # Iterations 0 and 2 train day; by then both have momentum.
    for (before, after), trained in zip(
        itertools.pairwise(states), ('night', 'day', 'night'), strict=True
    ):
        for name, value in before.items():
            if name.startswith('domains.'):
                same = torch.equal(value, after[name])
                assert same is not name.startswith(f'domains.{trained}.'), name


NORMS = f"""
_base_ = '{ROOT}/configs/multi_domain/METHOD_toy.py'
model = dict(backbone=dict(init_cfg=None))
train_cfg = dict(max_iters=6, val_interval=3)
# A step that changes the statistics, too.
optim_wrapper = dict(optimizer=dict(lr=0.05))
default_hooks = dict(
    logger=dict(interval=1), checkpoint=dict(interval=3, max_keep_ckpts=4, save_best=None)
)
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(labeled_per_batch=2, unlabeled_per_batch=2),
)
val_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(domains={{name: dict(labeled=dict(indices=5)) for name in ('day', 'night')}}),
)
"""


KEPT = {
    'cct-adv': 'discriminator.queue_night',
    'mean-teacher': 'teacher.domains.night.decode_head.weights.0',
}
"""What a checkpoint of each method has to bring besides the network that is trained."""


@pytest.fixture(scope='module', params=KEPT)
def norms(request, environment, tmp_path_factory):
    """Train six iterations on two processes whose norms are not synchronized."""
    folder = tmp_path_factory.mktemp('norms')
    config, straight = folder / f'{request.param}.py', folder / 'straight'
    config.write_text(NORMS.replace('METHOD', request.param))
    run(['tools/dist_train.sh', str(config), '2', '--work-dir', str(straight)], environment)
    return config, straight


@pytest.mark.slow
def test_the_checkpoint_of_two_processes_is_the_network_that_they_have_validated(
    norms, environment, tmp_path
):
    config, straight = norms
    command = [sys.executable, 'tools/test.py', str(config), str(straight / 'iter_3.pth')]
    out = tmp_path / 'metrics.json'
    options = ['--split', 'val', '--work-dir', str(tmp_path), '--out', str(out)]
    run([*command, *options], environment)
    validated = next(line for line in curve(straight) if 'mIoU' in line)
    tested = json.loads(out.read_text())
    assert len(tested) > 6
    for name, value in tested.items():
        found = validated[name]
        assert (None if found != found else found) == pytest.approx(value, abs=1e-6), name


@pytest.mark.slow
def test_two_processes_go_on_bit_for_bit(norms, environment, tmp_path):
    config, straight = norms
    shutil.copy(straight / 'iter_3.pth', tmp_path)
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_3.pth'))
    command = ['tools/dist_train.sh', str(config), '2', '--work-dir', str(tmp_path), '--resume']
    run(command, environment)
    found, expected = (
        torch.load(folder / 'iter_6.pth', weights_only=False) for folder in (tmp_path, straight)
    )
    assert KEPT[config.stem] in expected['state_dict']
    assert any('statistics.night.running_var' in name for name in expected['state_dict'])
    for name, value in expected['state_dict'].items():
        assert torch.equal(found['state_dict'][name], value), name
    momenta = [checkpoint['optimizer']['state'] for checkpoint in (found, expected)]
    torch.testing.assert_close(*momenta, rtol=0, atol=0)


def test_scripts_say_how_they_are_called():
    for script in ('dist_train.sh', 'dist_test.sh', 'slurm_train.sh'):
        done = subprocess.run([f'tools/{script}'], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 2
        assert done.stderr.startswith('usage: ')
