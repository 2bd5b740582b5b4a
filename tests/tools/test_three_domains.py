"""Three label spaces in one network, on real images: 19, 11 and 13 classes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_network import ROOT, tiny_backbone

BASE = ROOT / 'configs/multi_domain/cct_efficientnet-lite0_cityscapes-camvid-sunrgbd-n50.py'
DATA = Path(os.environ.get('CCT_MM_DATA', 'data'))

# A network of no size; SUN RGB-D stands for a domain without unlabeled images.
CONFIG = f"""
_base_ = {str(BASE)!r}
model = dict(
    backbone={dict(_delete_=True, **tiny_backbone())},
    neck=None,
    decode_head=dict(in_channels=32, in_index=2),
    auxiliary=dict(in_channels=32),
    discriminator=dict(in_channels=32, channels=(4, 8)),
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(discriminator=dict(lr_mult=0.1))))
train_cfg = dict(max_iters=3)
val_cfg = val_dataloader = val_evaluator = None
param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=0, begin=0, end=3, by_epoch=False)]
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(save_best=None))
train_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    sampler=dict(unlabeled_per_batch=dict(_delete_=True, cityscapes=4, camvid=4, sunrgbd=0)),
)
"""


def run(*command):
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=ROOT,
        env={**os.environ, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''},
        capture_output=True,
        text=True,
        check=False,
    )
    return done


@pytest.mark.realdata
@pytest.mark.slow
def test_train_in_turn_and_one_is_tested_alone(tmp_path):
    for name in ('cityscapes', 'CamVid', 'SUNRGBD'):
        if not (ROOT / DATA / name).is_dir():
            pytest.skip(f'{DATA / name} not there; set CCT_MM_DATA')
    config = tmp_path / 'three.py'
    config.write_text(CONFIG)
    trained = run('tools/train.py', config, '--work-dir', tmp_path / 'run')
    assert trained.returncode == 0, trained.stdout[-2000:] + trained.stderr[-3000:]
    (path,) = (tmp_path / 'run').glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    domains = ('cityscapes', 'camvid', 'sunrgbd')
    # The log keeps a value until its domain's next turn: what is new in a line is its own.
    for domain, line in zip(domains, lines, strict=True):
        assert f'{domain}.loss_ab_ce' in line
        assert f'{domain}.loss_adversarial' in line
        assert (f'{domain}.loss_unsupervised' in line) is (domain != 'sunrgbd')

    checkpoint = tmp_path / 'run/iter_3.pth'
    out = tmp_path / 'metrics.json'
    options = ('--cfg-options', 'test_dataloader.dataset.domains.camvid.labeled.indices=2')
    tested = run(
        *('tools/test.py', config, checkpoint, '--work-dir', tmp_path / 'test'),
        *('--domain', 'camvid', '--out', out, *options),
    )
    assert tested.returncode == 0, tested.stdout[-2000:] + tested.stderr[-3000:]
    metrics = json.loads(out.read_text())
    assert sum(name.startswith('camvid/IoU') for name in metrics) == 11
    assert not any(name.startswith(('cityscapes', 'sunrgbd')) for name in metrics)

    refused = run('tools/test.py', config, checkpoint, '--domain', 'kitti')
    assert refused.returncode != 0
    assert '--domain kitti' in refused.stderr
    assert 'expected one of cityscapes, camvid, sunrgbd' in refused.stderr
