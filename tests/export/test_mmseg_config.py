"""The exported config: what it keeps of ours, and in which of mmseg's words."""

import pytest
from mmengine.config import Config
from two_domains import FCN, network_config

from cct_mm.export.mmseg_config import (
    domain_pipeline,
    export_config,
    model_config,
)
from cct_mm.models import PSPNeck, SubPixelHead

META = dict(classes=('lamp', 'person'), palette=[[1, 2, 3], [4, 5, 6]])


def with_pipeline(*transforms, split='test'):
    cfg = network_config()
    sources = dict(labeled=dict(type='ListDataset', pipeline=list(transforms)))
    cfg[f'{split}_dataloader'] = dict(dataset=dict(domains=dict(night=sources)))
    return cfg


def kinds(pipeline):
    return [transform['type'] for transform in pipeline]


class TestModel:
    def test_names_our_layers_anew(self):
        model, classes = model_config(network_config(), 'night')
        assert classes == {'PlainPSPNeck': PSPNeck, 'PlainSubPixelHead': SubPixelHead}
        assert {model['neck']['type'], model['decode_head']['type']} == set(classes)
        assert model['decode_head']['num_classes'] == 2
        assert 'domains' not in model

    def test_keeps_those_of_mmseg(self):
        model, classes = model_config(network_config('CCT', None, FCN), 'day')
        assert classes == {}
        assert model['decode_head'].items() >= {**FCN, 'num_classes': 3}.items()
        assert 'neck' not in model

    def test_takes_what_the_domain_says_of_its_head(self):
        cfg = network_config(neck=None, head=FCN)
        cfg.model.domains.day.decode_head = dict(channels=12)
        assert model_config(cfg, 'day')[0]['decode_head']['channels'] == 12
        assert model_config(cfg, 'night')[0]['decode_head']['channels'] == 8

    def test_has_no_loss_of_ours(self):
        theirs = dict(type='DiceLoss')
        for loss in (
            dict(type='AnnealedCrossEntropy'),
            [theirs, dict(type='AnnealedCrossEntropy')],
        ):
            model, classes = model_config(network_config(head=dict(**FCN, loss_decode=loss)), 'day')
            assert model['decode_head']['loss_decode']['type'] == 'CrossEntropyLoss'
            assert set(classes) == {'PlainPSPNeck'}
        model, _ = model_config(network_config(head=dict(**FCN, loss_decode=theirs)), 'day')
        assert model['decode_head']['loss_decode'] == theirs

    def test_loads_no_pretrained_weights_and_needs_one_process(self):
        cfg = network_config(neck=None, head=dict(**FCN, init_cfg=dict(type='Normal')))
        cfg.model.backbone.update(
            init_cfg=dict(type='Pretrained', checkpoint='open-mmlab://resnet50_v1c'),
            pretrained='torchvision://resnet18',
            norm_cfg=dict(type='SyncBN', requires_grad=True),
        )
        model, _ = model_config(cfg, 'day')
        assert 'init_cfg' not in model['backbone'] and 'init_cfg' not in model['decode_head']
        assert model['backbone']['pretrained'] is None
        assert model['backbone']['norm_cfg'] == dict(type='BN', requires_grad=True)
        cfg.model.backbone = dict(type='TIMMBackbone', model_name='resnet18')
        # Its default is True.
        assert model_config(cfg, 'day')[0]['backbone']['pretrained'] is False

    def test_the_given_config_stays(self):
        cfg = network_config()
        before = Config(cfg.to_dict())
        model_config(cfg, 'day')
        assert cfg.to_dict() == before.to_dict()


class TestPipeline:
    def test_has_transforms_of_mmseg(self):
        resize = dict(type='Resize', scale=(48, 32), keep_ratio=False)
        cfg = with_pipeline(
            dict(type='LoadCheckedImage', to_float32=True, orientation='stored'),
            dict(type='LoadImageLabels', classes=('lamp', 'person'), path='labels.json'),
            resize,
            dict(type='LoadCheckedAnnotations', label_map={255: 1}),
            dict(type='PackSegInputs'),
        )
        loading, *others = domain_pipeline(cfg, 'night')
        expected = dict(to_float32=True, color_type='color_ignore_orientation')
        assert loading == dict(type='LoadImageFromFile', **expected)
        assert others == [resize, dict(type='LoadAnnotations'), dict(type='PackSegInputs')]

    @pytest.mark.parametrize(('loading', 'expected'), [
        (dict(), {}),
        (dict(channels=1), dict(color_type='grayscale')),
        (dict(channels=1, orientation='stored'), dict(color_type='grayscale_ignore_orientation')),
        (dict(channels=5, imdecode_backend='tifffile'), dict(imdecode_backend='tifffile')),
    ], ids=str)  # fmt: skip
    def test_loads_the_channels_that_the_network_reads(self, loading, expected):
        cfg = with_pipeline(dict(type='LoadCheckedImage', **loading))
        assert domain_pipeline(cfg, 'night') == [dict(type='LoadImageFromFile', **expected)]

    def test_is_that_of_validation_where_there_is_no_other(self):
        cfg = with_pipeline(dict(type='LoadCheckedImage'), split='val')
        assert kinds(domain_pipeline(cfg, 'night')) == ['LoadImageFromFile']
        expected = ['LoadImageFromFile', 'LoadAnnotations', 'PackSegInputs']
        assert kinds(domain_pipeline(cfg, 'day')) == expected

    def test_is_found_within_wrappers(self):
        inner = dict(type='ListDataset', pipeline=[dict(type='LoadCheckedImage')])
        wrapped = dict(type='RepeatDataset', dataset=dict(type='ConcatDataset', datasets=[inner]))
        cfg = network_config()
        cfg.test_dataloader = dict(dataset=dict(domains=dict(day=dict(labeled=wrapped))))
        assert kinds(domain_pipeline(cfg, 'day')) == ['LoadImageFromFile']

    @pytest.mark.parametrize(('transform', 'message'), [
        (dict(type='AddView', name='strong', transforms=[]), 'test pipeline has AddView'),
        (dict(type='LoadCheckedImage', max_value=4095), 'read with max_value=4095'),
    ], ids=['transform', 'values'])  # fmt: skip
    def test_refuses_what_mmseg_cannot(self, transform, message):
        with pytest.raises(ValueError, match=f'domain night: .*{message}'):
            domain_pipeline(with_pipeline(transform), 'night')


def test_needs_what_the_user_has_imported_but_not_us():
    cfg = network_config()
    cfg.custom_imports = dict(imports=['cct_mm', 'my.backbone'], allow_failed_imports=False)
    model, _ = model_config(cfg, 'night')
    found = export_config(cfg, 'night', META, model, 'night_layers')
    assert found.custom_imports.imports == ['my.backbone', 'night_layers']
    text = found.pretty_text
    assert 'cct_mm' not in text and 'custom_hooks' not in text and 'optim' not in text
