"""Dilated depthwise convolutions give the values and gradients of ordinary ones."""

import copy

import pytest
import torch
from torch import nn

from cct_mm.models.cpu.dilated_depthwise import DilatedDepthwise, use_dilated_depthwise


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def by_phases(conv):
    converted = copy.deepcopy(conv)
    use_dilated_depthwise(converted)
    return converted


@pytest.mark.parametrize('size', [(8, 8), (11, 15), (1, 3), (6, 9)])
@pytest.mark.parametrize(
    ('kernel', 'dilation'), [(3, 2), (5, 2), (3, 8), ((3, 5), (4, 3)), ((5, 3), (1, 2))]
)
@pytest.mark.parametrize('bias', [True, False])
def test_equals_the_ordinary_convolution_in_value_and_gradients(kernel, dilation, size, bias):
    pair = nn.Conv2d(6, 6, kernel, dilation=dilation, groups=6, bias=bias)
    pair.padding = tuple(d * (k // 2) for d, k in zip(pair.dilation, pair.kernel_size, strict=True))
    pair = [pair.double(), by_phases(pair.double())]
    assert type(pair[1]) is DilatedDepthwise
    x = torch.randn(2, 6, *size, dtype=torch.double)
    weight = torch.randn(2, 6, *size, dtype=torch.double)
    results = []
    for conv in pair:
        image = x.clone().requires_grad_()
        y = conv(image)
        gradients = torch.autograd.grad((y * weight).sum(), [image, *conv.parameters()])
        results.append([y, *gradients])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_keeps_channels_last():
    conv = by_phases(nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8))
    x = torch.randn(2, 8, 7, 9).to(memory_format=torch.channels_last)
    assert conv(x).stride(1) == 1


@pytest.mark.parametrize(
    'options',
    [
        dict(dilation=1, padding=1, groups=4),
        dict(dilation=2, padding=2, groups=1),
        dict(dilation=2, padding=2, groups=2),
        dict(dilation=2, padding=2, groups=4, stride=2),
        dict(dilation=2, padding=1, groups=4),
        dict(dilation=2, padding=2, groups=4, padding_mode='reflect'),
    ],
    ids=['undilated', 'dense', 'grouped', 'strided', 'shrinking', 'reflecting'],
)
def test_other_convolutions_stay_as_they_are(options):
    assert type(by_phases(nn.Conv2d(4, 4, 3, **options))) is nn.Conv2d


def test_parameters_stay_the_same_tensors_under_the_same_names():
    conv = nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4)
    before = dict(conv.named_parameters())
    use_dilated_depthwise(conv)
    assert all(p is before[name] for name, p in conv.named_parameters())
