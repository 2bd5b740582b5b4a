"""A neck that hands on the backbone's maps: which map the decoders start from, and what learns."""

import pytest
import torch
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS
from tiny_network import tiny_backbone

from cct_mm.models import KeepBackboneMaps

PSP = dict(type='PSPNeck', in_channels=32, out_channels=24)


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


def test_the_necks_maps_are_last():
    neck = KeepBackboneMaps(PSP).eval()
    maps = [torch.randn(1, 8, 16, 16), torch.randn(1, 32, 8, 8)]
    *kept, last = neck(maps)
    assert all(a is b for a, b in zip(kept, maps, strict=True))
    (expected,) = neck.neck(maps)
    assert torch.equal(last, expected)


def test_cct_can_perturb_a_map_before_the_neck():
    model = MODELS.build(
        dict(
            type='CCT',
            backbone=tiny_backbone(),
            neck=dict(type='KeepBackboneMaps', neck=PSP),
            decode_head=dict(type='SubPixelHead', in_channels=24),
            domains=dict(day=dict(classes=('sky', 'ground'), z_index=2)),
            auxiliary=dict(perturbations=[dict(type='DropOut')]),
            data_preprocessor=dict(type='SegDataPreProcessor', size_divisor=16),
        )
    )
    domain = model.domains['day']
    assert (domain.auxiliary.in_channels, domain.auxiliary.stride) == (32, 8)
    maps = model.extract_feat(torch.randn(2, 3, 32, 32))
    assert domain.logits(maps, (32, 32)).shape == (2, 2, 32, 32)
    domain.auxiliary.decode(0, domain.z(maps)).sum().backward()
    assert all(p.grad is None for p in model.neck.parameters())
    assert all(p.grad is not None for p in model.backbone.layer3.parameters())
