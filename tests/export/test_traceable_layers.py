"""Layers for tracing compute what those do that they replace."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cct_mm.export.traceable_layers import PoolByProducts, pad_by_layers, pool_by_products

timm_layers = pytest.importorskip('timm.layers', reason='timm is not installed')


class Network(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.backbone = nn.Sequential(*layers)

    def extract_feat(self, images):
        return self.backbone(images)


@pytest.mark.parametrize('size', [(7, 9), (1, 4), (16, 3), (33, 65)])
@pytest.mark.parametrize('cells', [1, (2, 3), 6])
def test_pooling(size, cells):
    network = Network(nn.AdaptiveAvgPool2d(cells))
    pool_by_products(network)
    assert isinstance(network.backbone[0], PoolByProducts)
    x = torch.randn(2, 5, *size, dtype=torch.float64)
    torch.testing.assert_close(network.backbone(x), F.adaptive_avg_pool2d(x, cells))


def test_pooling_that_keeps_a_side_stays():
    network = Network(nn.AdaptiveAvgPool2d((None, 1)))
    pool_by_products(network)
    assert isinstance(network.backbone[0], nn.AdaptiveAvgPool2d)


@pytest.mark.parametrize(('kernel', 'stride', 'dilation'), [(3, 2, 1), (5, 2, 1), (3, 4, 1)])
def test_padding_that_never_varies(kernel, stride, dilation):
    conv = timm_layers.Conv2dSame(3, 4, kernel, stride, dilation=dilation)
    network = Network(copy.deepcopy(conv), nn.ReLU(), timm_layers.Conv2dSame(4, 2, 3, 2))
    expected = copy.deepcopy(network)
    pad_by_layers(network, 8)
    assert not any(isinstance(m, timm_layers.Conv2dSame) for m in network.modules())
    for size in [(24, 40), (56, 8)]:
        x = torch.randn(2, 3, *size)
        assert torch.equal(network.backbone(x), expected.backbone(x))


def test_padding_that_varies_stays():
    # A side of 8 n is no multiple of 3.
    network = Network(timm_layers.Conv2dSame(3, 4, 3, 3))
    pad_by_layers(network, 8)
    assert isinstance(network.backbone[0], timm_layers.Conv2dSame)
