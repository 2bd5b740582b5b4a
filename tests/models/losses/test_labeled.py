"""L_s of mmseg's heads: mmseg's values and gradients, whatever the head and its terms."""

import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.models.decode_heads import FCNHead
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch.nn import functional as F

from cct_mm.models.losses.labeled import loss_by_feat

MEAN = dict(type='CrossEntropyLoss', avg_non_ignore=True)
TERMS = {
    'mean over labels': MEAN,
    'mean over pixels': dict(type='CrossEntropyLoss'),
    'weighted': {**MEAN, 'loss_weight': 0.4},
    'classes weighted': dict(type='CrossEntropyLoss', class_weight=[0.5, 1.0, 2.0]),
    'sigmoid': {**MEAN, 'use_sigmoid': True},
    'sum': {**MEAN, 'reduction': 'sum'},
    'two of one name': [MEAN, dict(type='DiceLoss', loss_name='loss_ce')],
    'two': [MEAN, dict(type='DiceLoss')],
}


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


def head_of(kind='FCNHead', **arguments):
    own = dict(num_classes=3, in_channels=4, channels=4)
    return MODELS.build({'type': kind, **own, 'loss_decode': MEAN, **arguments})


def example(size=(8, 10), dtype=torch.float32, ignored=0.3):
    torch.manual_seed(0)
    logits = torch.randn(2, 3, *size).to(dtype).requires_grad_()
    labels = torch.randint(3, (2, 1, 8, 10))
    labels[torch.rand(labels.shape) < ignored] = 255
    return logits, [SegDataSample(gt_sem_seg=PixelData(data=own)) for own in labels]


def assert_same(head, logits, samples, **tolerance):
    results = []
    for function in (loss_by_feat, type(head).loss_by_feat):
        losses = function(head, logits, samples)
        total = sum(value.sum() for name, value in losses.items() if 'loss' in name)
        (gradient,) = torch.autograd.grad(total, logits)
        results.append(({name: value.mean().float() for name, value in losses.items()}, gradient))
    torch.testing.assert_close(*results, **tolerance)


@pytest.mark.filterwarnings('ignore:Default ``avg_non_ignore``')
@pytest.mark.parametrize('terms', TERMS)
def test_is_mmsegs_with_any_terms(terms):
    assert_same(head_of(loss_decode=TERMS[terms]), *example())


@pytest.mark.parametrize('size', [(8, 10), (4, 5)])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_is_mmsegs_in_any_type_and_size(size, dtype):
    assert_same(head_of(), *example(size, dtype), rtol=1e-6, atol=1e-7)


def test_is_mmsegs_under_autocast():
    with torch.autocast('cpu', torch.bfloat16):
        assert_same(head_of(), *example(dtype=torch.bfloat16))


def test_is_mmsegs_without_any_label():
    logits, samples = example(ignored=1.1)
    assert_same(head_of(), logits, samples)
    assert loss_by_feat(head_of(), logits, samples)['loss_ce'] == 0


def test_of_a_sampled_head_is_its_own():
    sampler = dict(type='OHEMPixelSampler', thresh=0.7, min_kept=5)
    assert_same(head_of(sampler=sampler), *example())


def test_of_a_head_with_its_own_loss_is_that():
    class Halved(FCNHead):
        def loss_by_feat(self, logits, samples):
            return {'loss_half': 0.5 * logits.sum()}

    logits, samples = example()
    head = Halved(in_channels=4, channels=4, num_classes=3)
    assert loss_by_feat(head, logits, samples) == {'loss_half': 0.5 * logits.sum()}


@pytest.mark.filterwarnings('ignore:Default ``avg_non_ignore``')
def test_of_weighted_classes_is_the_weighted_mean_over_labels_where_mmseg_fails():
    weights = [0.5, 1.0, 2.0]
    logits, samples = example()
    head = head_of(loss_decode={**MEAN, 'class_weight': weights})
    labels = torch.cat([sample.gt_sem_seg.data for sample in samples])
    expected = F.cross_entropy(logits, labels, torch.tensor(weights), ignore_index=255)
    torch.testing.assert_close(loss_by_feat(head, logits, samples)['loss_ce'], expected)
