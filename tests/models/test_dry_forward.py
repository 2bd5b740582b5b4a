"""An encoder is tried without a trace, and says what its maps are like."""

import copy

import pytest
import torch
from mmengine.model import BaseModule
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS
from torch import nn

from cct_mm.models.dry_forward import dry_forward


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@MODELS.register_module()
class Patches(BaseModule):
    """A transformer's first layer; it may insist on a size."""

    def __init__(self, patch, only=None, in_channels=3):
        super().__init__()
        self.only = only
        self.convolution = nn.Conv2d(in_channels, 6, patch, stride=patch)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        if self.only and tuple(x.shape[2:]) != self.only:
            raise AssertionError(f'input of {tuple(x.shape[2:])}')
        return [self.dropout(self.convolution(x))]


def model_of(backbone, neck=None, preprocessor=None, **arguments):
    torch.manual_seed(0)
    config = dict(
        type='SupervisedSegmentor',
        backbone=backbone,
        neck=neck,
        decode_head=dict(type='FCNHead', in_channels=6, channels=6, num_convs=1),
        domains=dict(day=dict(classes=('a', 'b', 'c'))),
        data_preprocessor=dict(
            type='SegDataPreProcessor',
            **(dict(size_divisor=8) if preprocessor is None else preprocessor),
        ),
    )
    return MODELS.build({**config, **arguments})


RESNET = dict(type='ResNetV1c', depth=18, base_channels=4, stem_channels=4, out_indices=(1, 3))
JPU = dict(type='MultiLevelNeck', in_channels=[8, 32], out_channels=6, scales=[1, 4])


def test_tells_channels_and_strides_of_backbone_and_neck():
    found = dry_forward(model_of(RESNET, JPU), 3)
    assert [found.image[0] // x.shape[2] for x in found.maps] == [8, 8]
    assert [x.shape[1] for x in found.maps] == [6, 6]
    assert [(s[1], found.image[0] // s[2]) for s in found.backbone] == [(8, 8), (32, 32)]
    assert found.divisor() == 32


def test_leaves_no_trace():
    model = model_of(RESNET, JPU)
    before, modes = copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]
    random = torch.get_rng_state()
    dry_forward(model, 3)
    assert torch.equal(torch.get_rng_state(), random)
    assert [m.training for m in model.modules()] == modes
    assert all(torch.equal(x, before[name]) for name, x in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_costs_nothing_on_the_meta_device():
    with torch.device('meta'):
        model = model_of(RESNET)
    assert dry_forward(model, 3).divisor() == 32


class TestPreprocessorThatDoesNotKnowHowToPad:
    def test_pads_to_multiples_of_all_strides(self):
        assert model_of(RESNET, preprocessor={}).data_preprocessor.size_divisor == 32
        patches = dict(type='Patches', patch=14)
        neck = dict(type='MultiLevelNeck', in_channels=[6], out_channels=6, scales=[1.75])
        assert model_of(patches, neck, {}).data_preprocessor.size_divisor == 56

    @pytest.mark.parametrize('given', [dict(size=(64, 64)), dict(size_divisor=8)])
    def test_stays_as_it_is_where_it_knows(self, given):
        preprocessor = model_of(RESNET, preprocessor=given).data_preprocessor
        assert preprocessor.size_divisor == given.get('size_divisor')


class TestEncoderThatTakesOneSize:
    def test_is_given_the_preprocessors(self):
        model = model_of(
            dict(type='Patches', patch=8, only=(64, 96)), preprocessor=dict(size=(64, 96))
        )
        found = dry_forward(model, 3)
        assert found.image == (64, 96) and found.maps[0].shape == (1, 6, 8, 12)

    def test_or_the_error_says_what_to_give(self):
        with pytest.raises(
            ValueError, match='224x224 and failed .*input of .*data_preprocessor.size'
        ):
            model_of(dict(type='Patches', patch=8, only=(64, 96)), preprocessor={})


def test_images_of_other_channels():
    model = model_of({**RESNET, 'in_channels': 5}, preprocessor={})
    assert model.data_preprocessor.size_divisor == 32
