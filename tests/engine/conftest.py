"""A small segmentor, a batch for it, and what a hook sees of a runner."""

from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.runner import IterBasedTrainLoop
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from tiny_network import tiny_backbone

from cct_mm.models.progress import set_progress
from cct_mm.schedules import Progress


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@pytest.fixture
def make_model():
    """Build CCT or another type with two domains; L_s depends on the iteration too."""

    def make(method='CCT'):
        options = {}
        if method == 'CCT':
            perturbations = [dict(type='F-Noise'), dict(type='I-VAT')]
            options = dict(auxiliary=dict(in_channels=32, perturbations=perturbations))
        head = dict(
            type='SubPixelHead', in_channels=32, loss_decode=dict(type='AnnealedCrossEntropy')
        )
        if method == 'ImageClassifier':
            head = dict(type='ClassificationHead', in_channels=32)
        torch.manual_seed(0)
        return MODELS.build(
            dict(
                type=method,
                data_preprocessor=dict(
                    type='SegDataPreProcessor', mean=[127.0] * 3, std=[64.0] * 3, size_divisor=8
                ),
                backbone=tiny_backbone(),
                decode_head=head,
                domains=dict(
                    day=dict(classes=('sky', 'ground', 'car'), foreground=('car',)),
                    night=dict(classes=('sky', 'lamp'), foreground=('lamp',)),
                ),
                **options,
            )
        )

    return make


@pytest.fixture
def model(make_model):
    """The model of ``make_model`` in the middle of a run."""
    model = make_model()
    set_progress(model, Progress(iteration=5, max_iters=10, seed=0))
    return model.train()


@pytest.fixture
def data():
    """Two labeled and two unlabeled images of domain ``day``, as the dataloader gives them."""
    generator = torch.Generator().manual_seed(0)
    inputs, samples = [], []
    for i in range(4):
        inputs.append(torch.randint(0, 256, (3, 32, 48), generator=generator).byte())
        sample = SegDataSample(
            metainfo=dict(
                img_shape=(32, 48),
                ori_shape=(32, 48),
                domain='day',
                supervision='labeled' if i < 2 else 'unlabeled',
                sample_key=f'0/{i}',
            )
        )
        sample.gt_sem_seg = PixelData(data=torch.randint(0, 3, (1, 32, 48), generator=generator))
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)


@pytest.fixture
def runner(model):
    return SimpleNamespace(
        model=model,
        iter=3,
        max_iters=40,
        seed=7,
        rank=0,
        cfg={},
        logger=mock.MagicMock(),
        train_loop=mock.create_autospec(IterBasedTrainLoop, instance=True),
        val_loop=None,
        _resume=False,
    )
