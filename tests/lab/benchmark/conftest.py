"""A tiny CCT, with a few images to load."""

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
