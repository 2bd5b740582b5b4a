"""A network whose checkpoint brings every weight is built without pretrained ones."""

import pytest
from mmengine.config import ConfigDict
from mmseg.registry import MODELS

from cct_mm.models.pretraining import skip_pretraining

RESNET = dict(type='mmseg.ResNetV1c', depth=18)
WITH_WEIGHTS = {
    'init_cfg': dict(
        backbone=dict(**RESNET, init_cfg=dict(type='Pretrained', checkpoint='missing.pth'))
    ),
    'of the model': dict(pretrained='missing.pth', backbone=RESNET),
    'of the backbone': dict(backbone=dict(**RESNET, pretrained='missing.pth')),
    'timm by default': dict(backbone=dict(type='mmseg.TIMMBackbone', model_name='resnet18')),
    'timm, a file': dict(
        backbone=dict(
            type='mmseg.TIMMBackbone',
            model_name='resnet18',
            pretrained=False,
            checkpoint_path='missing.pth',
        )
    ),
}


@pytest.mark.parametrize('model', WITH_WEIGHTS.values(), ids=WITH_WEIGHTS)
def test_reads_and_downloads_nothing(model, monkeypatch):
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    model = ConfigDict(model)
    skip_pretraining(model)
    assert 'pretrained' not in model
    MODELS.build(model.backbone).init_weights()


def test_an_unknown_backbone_is_for_the_registry_to_refuse():
    model = dict(backbone=dict(type='Missing'))
    skip_pretraining(model)
    assert model['backbone']['type'] == 'Missing'
