"""A tiny network of two domains with a checkpoint, to predict by, and images to predict on."""

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS
from tiny_network import tiny_backbone

import cct_mm  # noqa: F401  registers everything

DOMAINS = {
    'day': {'classes': ('sky', 'ground', 'car'), 'palette': [[0, 0, 250], [90, 80, 70], [9, 9, 9]]},
    'night': {'classes': ('dark', 'lamp'), 'palette': [[0, 0, 0], [250, 250, 0]]},
}
CONFIG = f"""
default_scope = 'mmseg'
pipeline = [
    dict(type='LoadCheckedImage'),
    dict(type='Resize', scale=(64, 48), keep_ratio=True),
    dict(type='LoadCheckedAnnotations'),
    dict(type='PackSegInputs', meta_keys=('img_path',)),
]
model = dict(
    type='SupervisedSegmentor',
    data_preprocessor=dict(
        type='SegDataPreProcessor', mean=[127.0] * 3, std=[64.0] * 3, bgr_to_rgb=True,
        size_divisor=16, test_cfg=dict(size_divisor=16),
    ),
    backbone={tiny_backbone()},
    decode_head=dict(type='SubPixelHead', in_channels=32, stride=8),
    domains=dict(day=dict(classes={DOMAINS['day']['classes']}),
                 night=dict(classes={DOMAINS['night']['classes']})),
)
source = dict(type='ListDataset', data_root='nowhere', pipeline=pipeline)
test_dataloader = dict(
    dataset=dict(
        type='MultiDomainDataset',
        domains=dict(
            day=dict(labeled=source),
            night=dict(labeled=dict(type='ConcatDataset', datasets=[source, source])),
        ),
    ),
)
"""


def write_network(folder):
    """Write ``tiny.py`` and ``tiny.pth`` into a folder; norms differ between the domains."""
    (folder / 'tiny.py').write_text(CONFIG)
    with torch.random.fork_rng(), DefaultScope.overwrite_default_scope('mmseg'):
        torch.manual_seed(0)
        model = MODELS.build(Config.fromfile(folder / 'tiny.py').model)
        for name, value in model.state_dict().items():
            if name.endswith('running_mean'):
                value.normal_()
    meta = dict(dataset_meta=dict(domains=DOMAINS))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), folder / 'tiny.pth')


def write_image(path, height=40, width=56, seed=0):
    """Write a picture of random blobs and return its pixels, BGR."""
    noise = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    pixels = cv2.resize(noise, (width, height), interpolation=cv2.INTER_NEAREST)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels)
    return pixels


def write_video(path, frames=5, height=48, width=64):
    """Write a video of random blobs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    code = cv2.VideoWriter_fourcc(*'mp4v')
    video = cv2.VideoWriter(str(path), code, 5.0, (width, height))
    for seed in range(frames):
        noise = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
        video.write(cv2.resize(noise, (width, height), interpolation=cv2.INTER_NEAREST))
    video.release()
