"""A tiny CCT, with a few images to load."""

import importlib.util
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

CONFIG = """
default_scope = 'mmseg'
norm_cfg = dict(type='BN')
model = dict(
    type='CCT',
    data_preprocessor=dict(type='SegDataPreProcessor', size_divisor=8),
    backbone=dict(
        type='ResNetV1c', depth=18, stem_channels=8, base_channels=8, out_indices=(3,),
        strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4), norm_cfg=norm_cfg,
        init_cfg=dict(type='Pretrained', checkpoint='nowhere')),
    neck=dict(type='PSPNeck', in_channels=64, out_channels=16, norm_cfg=norm_cfg),
    decode_head=dict(type='SubPixelHead', in_channels=16, stride=8),
    domains=dict(field=dict(classes=('soil', 'leaf'), foreground=('leaf',))),
    auxiliary=dict(
        in_channels=16,
        stride=8,
        perturbations=[
            dict(type='F-Drop', num=2), dict(type='I-VAT'), dict(type='G-Cutout'),
        ],
    ),
)
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4))
source = dict(
    type='ListDataset',
    data_root=DATA_ROOT,
    metainfo=dict(classes=('soil', 'leaf'), palette=[[0, 0, 0], [0, 255, 0]]))
load = dict(type='LoadImageFromFile')
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    prefetch_factor=2,
    persistent_workers=True,
    sampler=dict(type='AlternatingDomainSampler', labeled_per_batch=2, unlabeled_per_batch=2),
    dataset=dict(type='MultiDomainDataset', domains=dict(field=dict(
        labeled=dict(
            **source, ann_file='labeled.txt', labeled=True,
            pipeline=[load, dict(type='LoadAnnotations'), dict(type='PackSegInputs')]),
        unlabeled=dict(
            **source, ann_file='labeled.txt', labeled=False,
            pipeline=[load, dict(type='PackSegInputs')])))),
)
"""


@pytest.fixture
def config(tmp_path):
    """A tiny CCT; images of 30x40, which the preprocessor pads."""
    data = tmp_path / 'data'
    data.mkdir()
    lines = []
    for i in range(3):
        cv2.imwrite(str(data / f'{i}.jpg'), np.full((30, 40, 3), 80 * i, np.uint8))
        cv2.imwrite(str(data / f'{i}.png'), np.eye(30, 40, dtype=np.uint8))
        lines.append(f'{i}.jpg {i}.png\n')
    (data / 'labeled.txt').write_text(''.join(lines))
    path = tmp_path / 'cct.py'
    path.write_text(CONFIG.replace('DATA_ROOT', repr(str(data))))
    return str(path)


@pytest.fixture(scope='session')
def tool():
    """The module tools/benchmark.py."""
    path = Path(__file__).parents[3] / 'tools/benchmark.py'
    spec = importlib.util.spec_from_file_location('benchmark', path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


@pytest.fixture
def run(tool, config, tmp_path, capsys):
    """Runs the command and returns its JSON and what it printed."""

    def run(command, *arguments):
        out = tmp_path / 'out' / 'figures.json'
        quick = ('--repeats', '1', '--warmup', '0', '--device', 'cpu')
        tool.main([command, '--config', config, '--out', str(out), *quick, *arguments])
        return json.loads(out.read_text()), capsys.readouterr().out

    return run
