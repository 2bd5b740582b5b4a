"""A head's part before the classifier as neck: what the undivided network computes."""

import pytest
import torch
from mmengine.registry import DefaultScope
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS

from cct_mm.models.head_as_neck import HeadAsNeck

NORM = dict(type='BN')
WIDTHS = [4, 6, 8, 10]
FUSING = dict(in_channels=WIDTHS, in_index=[0, 1, 2, 3], channels=8, norm_cfg=NORM)
ONE = dict(in_channels=10, in_index=3, channels=8, norm_cfg=NORM)
HEADS = {
    'uper': dict(type='UPerHead', **FUSING),
    'segformer': dict(type='SegformerHead', **FUSING),
    'fpn': dict(type='FPNHead', feature_strides=[4, 8, 16, 32], **FUSING),
    'concatenated': dict(type='FCNHead', input_transform='resize_concat', num_convs=1, **FUSING),
    'psp': dict(type='PSPHead', **ONE),
    'aspp': dict(type='ASPPHead', dilations=(1, 2), **ONE),
    'plus': dict(
        type='DepthwiseSeparableASPPHead', dilations=(1, 2), c1_in_channels=4, c1_channels=4, **ONE
    ),
}


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@pytest.fixture
def maps():
    generator = torch.Generator().manual_seed(0)
    sides = [16, 8, 4, 2]
    return [
        torch.randn(2, c, s, s, generator=generator) for c, s in zip(WIDTHS, sides, strict=True)
    ]


def neck_of(head, **arguments):
    torch.manual_seed(0)
    return HeadAsNeck(head, **arguments).eval()


@pytest.mark.parametrize('name', HEADS)
def test_classifier_after_it_gives_the_logits_of_the_undivided_head(name, maps):
    torch.manual_seed(1)
    head = MODELS.build({**HEADS[name], 'num_classes': 5}).eval()
    neck = neck_of(HEADS[name])
    weights = {k: v for k, v in head.state_dict().items() if not k.startswith('conv_seg')}
    neck.head.load_state_dict(weights)  # strict: nothing else is in it
    *given, fused = neck(maps)
    assert all(a is b for a, b in zip(given, maps, strict=True))
    assert torch.equal(head.conv_seg(fused), head(maps))


def test_has_no_dropout_of_its_own(maps):
    neck = neck_of({**HEADS['segformer'], 'dropout_ratio': 0.9}).train()
    assert torch.equal(neck(maps)[-1], neck(maps)[-1])


def test_neck_before_it_makes_the_maps_that_are_read_and_given(maps):
    rescale = dict(type='MultiLevelNeck', in_channels=WIDTHS, out_channels=4, scales=[1.75] * 4)
    neck = neck_of({**HEADS['uper'], 'in_channels': [4] * 4}, neck=rescale)
    found = neck(maps)
    assert [x.shape[1:] for x in found[:2]] == [(4, 28, 28), (4, 14, 14)]
    assert torch.equal(found[-1], neck.head(neck.neck(maps)))


def test_what_concerns_the_classifier_is_ignored():
    zoo = dict(num_classes=1, out_channels=1, threshold=0.2, loss_decode=dict(type='DiceLoss'))
    assert neck_of({**HEADS['uper'], **zoo}).state_dict().keys() == (
        neck_of(HEADS['uper']).state_dict().keys()
    )


def test_initializes_as_the_head_does(maps):
    neck = neck_of(HEADS['segformer'])
    neck.init_weights()
    assert neck(maps)[-1].std() > 0


@MODELS.register_module()
class HeadWithTwoClassifiers(BaseDecodeHead):
    def forward(self, inputs):
        x = self._transform_inputs(inputs)
        return torch.cat([self.cls_seg(x), self.cls_seg(x)], dim=1)


class TestRefused:
    def test_head_without_that_classifier(self):
        head = dict(type='SubPixelHead', in_channels=10)
        with pytest.raises(ValueError, match='SubPixelHead has no conv_seg'):
            neck_of(head)

    def test_head_that_does_not_end_in_it(self, maps):
        neck = neck_of(dict(type='HeadWithTwoClassifiers', in_channels=10, channels=10))
        with pytest.raises(ValueError, match='gives 20 channels, expected one map of its 10'):
            neck(maps)

    @pytest.mark.parametrize(
        ('change', 'sentence'),
        [
            (dict(in_channels=[4, 6, 7, 10]), 'its head has in_channels 7 for map 2 .* 8 channels'),
            (dict(in_index=[0, 1, 2, 9]), 'its head has in_index 9, but the encoder gives 4 maps'),
        ],
    )
    def test_head_that_does_not_fit_the_maps(self, maps, change, sentence):
        with pytest.raises(ValueError, match=sentence):
            neck_of({**HEADS['uper'], **change})(maps)
