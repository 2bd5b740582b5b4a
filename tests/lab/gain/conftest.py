"""A small CCT with a batch of toy images."""

import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from tiny_network import tiny_backbone

import cct_mm.lab.gain.true_foreground
import cct_mm.models  # noqa: F401  registers everything
from cct_mm.models.progress import set_progress
from cct_mm.schedules import Progress

PERTURBATIONS = [dict(type='F-Noise', num=2), dict(type='DropOut', p=0.0), dict(type='I-VAT')]
PERTURBATIONS += [dict(type=name) for name in ('F-Drop', 'Obj-Msk', 'Con-Msk', 'G-Cutout')]


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@pytest.fixture
def make_model():
    def make(method='CCT', **changes):
        torch.manual_seed(0)
        model = MODELS.build(
            dict(
                type=method,
                backbone=tiny_backbone(),
                neck=dict(type='PSPNeck', in_channels=32, out_channels=24),
                decode_head=dict(type='SubPixelHead', in_channels=24),
                domains=dict(day=dict(classes=('sky', 'ground', 'car'), foreground=('car',))),
                auxiliary=dict(in_channels=24, stride=8, perturbations=PERTURBATIONS),
                data_preprocessor=dict(type='SegDataPreProcessor', size_divisor=16),
                **changes,
            )
        )
        set_progress(model, Progress(iteration=50, max_iters=100, seed=0))
        return model.train()

    return make


@pytest.fixture
def batch():
    """Two labeled images, two unlabeled ones: what a preprocessor returns."""

    def sample(i, supervision):
        sample = SegDataSample(
            metainfo=dict(
                img_shape=(32, 48), domain='day', supervision=supervision, sample_key=f'0/{i}'
            )
        )
        if supervision == 'labeled':
            sample.gt_sem_seg = PixelData(data=torch.randint(3, (1, 32, 48)))
        return sample

    torch.manual_seed(1)
    kinds = ('labeled', 'labeled', 'unlabeled', 'unlabeled')
    samples = [sample(i, kind) for i, kind in enumerate(kinds)]
    return dict(inputs=torch.randn(4, 3, 32, 48), data_samples=samples)
