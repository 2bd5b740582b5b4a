"""The plain network of a domain predicts what the network with domains does."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.models.data_preprocessor import SegDataPreProcessor
from mmseg.models.decode_heads import UPerHead
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from tiny_network import tiny_backbone
from torch import nn

from cct_mm.export import plain_model
from cct_mm.export.mmseg_config import model_config
from cct_mm.models.head_as_neck import HeadAsNeck
from cct_mm.models.norm import NORMS, DomainSpecificNorm

SIZES = [(33, 47), (64, 48), (70, 95)]


def predicted(model, size, domain=None):
    images = torch.randint(0, 256, (2, 3, *size), generator=torch.Generator().manual_seed(2))
    # An image is resized back to its own size.
    metainfo = dict(img_shape=size, ori_shape=(size[0] + 5, size[1] - 3))
    if domain:
        metainfo['domain'] = domain
    samples = [SegDataSample(metainfo=metainfo) for _ in images]
    with torch.no_grad():
        results = model.test_step(dict(inputs=list(images.byte()), data_samples=samples))
    return torch.stack([result.seg_logits.data for result in results])


@pytest.mark.parametrize('norm', NORMS)
@pytest.mark.parametrize('method', ['SupervisedSegmentor', 'CCT', 'MeanTeacher'])
def test_predicts_the_same(network, method, norm):
    _, model = network(method, norm=norm)
    model.double()
    for domain in ('day', 'night'):
        plain = plain_model(model, domain)
        for size in SIZES:
            expected = predicted(model, size, domain)
            assert torch.allclose(predicted(plain, size), expected, rtol=0, atol=1e-9)


def test_sliding_window_is_kept(network):
    window = dict(mode='slide', crop_size=(32, 32), stride=(20, 20))
    _, model = network(test_cfg=window)
    model.double()
    plain = plain_model(model, 'night')
    expected = predicted(model, (50, 70), 'night')
    assert torch.allclose(predicted(plain, (50, 70)), expected, rtol=0, atol=1e-9)


def test_domains_differ(network):
    # Else the test above could not tell whose statistics were folded.
    _, model = network()
    day, night = (plain_model(model, name).backbone for name in ('day', 'night'))
    images = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert not torch.allclose(day(images)[-1], night(images)[-1], atol=1e-2)


def test_has_only_classes_of_mmseg_and_torch(network):
    # A dilated depthwise and a narrow strided convolution, which our networks compute differently.
    backbone = dict(type='TIMMBackbone', model_name='tf_efficientnet_lite0', pretrained=False)
    backbone |= dict(output_stride=16, out_indices=(4,))
    head = dict(type='FCNHead', in_channels=320, channels=8, num_convs=1, concat_input=False)
    cfg, _ = network(neck=None, head=dict(type='FCNHead', in_channels=32, in_index=2, channels=8))
    cfg.model.backbone, cfg.model.decode_head = backbone, dict(**head, in_index=0)
    model = MODELS.build(cfg.model).eval()
    kinds = {type(m).__module__.partition('.')[0] for m in model.backbone.modules()}
    assert 'cct_mm' in kinds
    plain = plain_model(model, 'day')
    assert type(plain) is EncoderDecoder
    assert type(plain.data_preprocessor) is SegDataPreProcessor
    kinds = {type(m).__module__.partition('.')[0] for m in plain.modules()}
    assert kinds <= {'mmseg', 'mmcv', 'mmengine', 'timm', 'torch'}


def test_weights_are_those_of_an_encoder_decoder(network):
    cfg, model = network('CCT', None, dict(type='FCNHead', in_channels=32, in_index=2, channels=8))
    config = dict(type='EncoderDecoder', backbone=tiny_backbone(), test_cfg=dict(mode='whole'))
    head = {**cfg.model.decode_head, 'num_classes': 2}
    ordinary = MODELS.build(Config(dict(model={**config, 'decode_head': head})).model)
    ordinary.load_state_dict(plain_model(model, 'night').state_dict(), strict=True)


FUSING = dict(type='UPerHead', in_channels=[8, 16, 32], in_index=[0, 1, 2], channels=8)
LEVELS = dict(type='MultiLevelNeck', in_channels=[8, 16, 32], out_channels=4, scales=[1, 2, 2])
CLASSIFIER = dict(
    type='FCNHead', in_channels=8, channels=8, num_convs=0, concat_input=False, dropout_ratio=0.3
)


@pytest.mark.parametrize('levels', [None, LEVELS], ids=['head', 'neck and head'])
def test_a_divided_head_is_whole_again(network, levels):
    head = dict(FUSING, norm_cfg=dict(type='BN'), num_classes=9, dropout_ratio=0.1)
    if levels:
        head['in_channels'] = [4, 4, 4]
    cfg, model = network('CCT', dict(type='HeadAsNeck', head=head, neck=levels), CLASSIFIER)
    plain = plain_model(model, 'night')
    assert type(plain.decode_head) is UPerHead
    config, classes = model_config(cfg, 'night', joined=True)
    assert classes == {} and config.get('neck') == levels
    assert config['decode_head'].items() >= dict(num_classes=2, dropout_ratio=0.3).items()
    with DefaultScope.overwrite_default_scope('mmseg'):
        ordinary = MODELS.build(Config(dict(model=config)).model).eval()
    ordinary.load_state_dict(plain.state_dict(), strict=True)
    assert str(ordinary.decode_head) == str(plain.decode_head)
    expected = predicted(model, SIZES[0], 'night')
    for found in (predicted(plain, SIZES[0]), predicted(ordinary, SIZES[0])):
        assert torch.allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize('changes', [
    dict(num_convs=1),
    dict(in_index=0),
    dict(align_corners=True),
], ids=str)  # fmt: skip
def test_a_head_that_does_more_than_classify_stays_divided(network, changes):
    head = dict(FUSING, norm_cfg=dict(type='BN'))
    _, model = network(
        'SupervisedSegmentor', dict(type='HeadAsNeck', head=head), {**CLASSIFIER, **changes}
    )
    plain = plain_model(model, 'day')
    assert isinstance(plain.neck, HeadAsNeck)
    expected = predicted(model, SIZES[0], 'day')
    assert torch.allclose(predicted(plain, SIZES[0]), expected, rtol=0, atol=1e-4)


def test_the_network_stays_as_it_was(network):
    _, model = network('CCT')
    before = {key: value.clone() for key, value in model.state_dict().items()}
    kinds = [type(m) for m in model.modules()]
    plain = plain_model(model, 'day')
    with torch.no_grad():
        for value in plain.state_dict().values():
            value.zero_()
    after = model.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    assert [type(m) for m in model.modules()] == kinds


def test_a_norm_under_two_names_stays_one(network):
    _, model = network()
    model.backbone.twin = model.backbone.bn_again = model.backbone.stem[1]
    assert isinstance(model.backbone.twin, DomainSpecificNorm)
    backbone = plain_model(model, 'day').backbone
    assert isinstance(backbone.twin, nn.BatchNorm2d)
    assert backbone.twin is backbone.bn_again is backbone.stem[1]


def test_refuses(network):
    _, model = network()
    with pytest.raises(ValueError, match="'dusk' is not in this model, expected one of"):
        plain_model(model, 'dusk')
    cfg, _ = network(neck=None, head=dict(type='FCNHead', in_channels=32, in_index=2, channels=8))
    cfg.model.type = 'ImageClassifier'
    cfg.model.decode_head = dict(type='ClassificationHead', in_channels=32)
    with pytest.raises(ValueError, match='an ImageClassifier, expected a segmentor'):
        plain_model(MODELS.build(cfg.model), 'day')
