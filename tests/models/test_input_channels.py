"""Weights that were trained on colors, in a network for images of other channels."""

import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.runner.checkpoint import load_state_dict
from mmseg.registry import MODELS
from tiny_network import tiny_backbone
from torch import nn

from cct_mm.models.input_channels import first_convolution, take_color_weights, weights_for

WEIGHT = torch.randn(5, 3, 3, 3, generator=torch.Generator().manual_seed(0))


def image(channels):
    return torch.rand(2, channels, 8, 8)


def test_of_one_channel_see_gray_as_a_color_image_of_it():
    gray = image(1)
    found = nn.functional.conv2d(gray, weights_for(1, WEIGHT))
    expected = nn.functional.conv2d(gray.expand(-1, 3, -1, -1), WEIGHT)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize('channels', [2, 4, 6, 13])
def test_of_more_channels_are_the_same_in_turn_and_as_large_in_sum(channels):
    found = weights_for(channels, WEIGHT)
    assert found.shape == (5, channels, 3, 3)
    for i in range(channels):
        torch.testing.assert_close(found[:, i], WEIGHT[:, i % 3] * 3 / channels)
    if channels % 3 == 0:
        torch.testing.assert_close(found.sum(1), WEIGHT.sum(1))


@pytest.mark.parametrize('channels', [1, 3, 4])
def test_a_segmentor_loads_them_into_its_backbone(channels, capsys):
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(
            dict(
                type='SupervisedSegmentor',
                backbone=dict(**tiny_backbone(), in_channels=channels),
                decode_head=dict(type='SubPixelHead', in_channels=32),
                domains=dict(day=dict(classes=('sky', 'car'))),
            )
        )
        colors = MODELS.build(tiny_backbone())
    name = next(n for n, m in colors.named_modules() if isinstance(m, nn.Conv2d))
    weights = colors.state_dict()
    before = {key: value.clone() for key, value in weights.items()}
    load_state_dict(model.backbone, weights, strict=False)
    found = first_convolution(model.backbone).weight
    expected = before[f'{name}.weight']
    torch.testing.assert_close(
        found, expected if channels == 3 else weights_for(channels, expected)
    )
    # Its own weights are no others' for it.
    own = {key: value.clone() for key, value in model.state_dict().items()}
    model.load_state_dict(own)
    assert all(torch.equal(value, own[key]) for key, value in model.state_dict().items())
    # The original stays as it was.
    assert all(torch.equal(value, before[key]) for key, value in colors.state_dict().items())


def test_a_backbone_without_a_convolution_is_left_alone():
    take_color_weights(nn.Linear(3, 3))
    assert first_convolution(nn.Linear(3, 3)) is None
