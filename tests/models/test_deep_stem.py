"""The authors' weights fill mmseg's ResNetV1c with a stem of 64, 64 and 128 channels."""

from pathlib import Path

import torch
from mmengine.config import Config
from mmseg.registry import MODELS

from cct_mm import models  # noqa: F401
from cct_mm.models.deep_stem import STEM

RELEASED = Config.fromfile(
    Path(__file__).resolve().parents[2] / 'configs/_base_/methods/cct_released.py'
)
RESNET = dict(
    type='mmseg.ResNetV1c', depth=18, stem_channels=RELEASED.released_model.backbone.stem_channels
)


def test_weights_side_by_side_with_the_stages_fill_the_whole_network(tmp_path):
    torch.manual_seed(0)
    expected = MODELS.build(RESNET).state_dict()
    of_place = {place: name for name, place in STEM.items()}
    weights = {'fc.weight': torch.zeros(1000, 512)}
    for key, value in expected.items():
        part, place, *rest = key.split('.')
        weights['.'.join([of_place[place], *rest]) if part == 'stem' else key] = value
    assert [len(weights[f'conv{i}.weight']) for i in (1, 2, 3)] == [64, 64, 128]
    torch.save(weights, tmp_path / 'resnet.pth')

    checkpoint = f'deep-stem://{tmp_path}/resnet.pth'
    network = MODELS.build({**RESNET, 'init_cfg': dict(type='Pretrained', checkpoint=checkpoint)})
    network.init_weights()
    found = network.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)
