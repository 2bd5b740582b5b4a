"""Agreement of main head and auxiliary decoders, against both computed one by one."""

import pytest
import torch
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from tiny_network import tiny_backbone

import cct_mm.models  # noqa: F401  registers everything
from cct_mm.lab.report.agreement import same_class


@pytest.fixture
def model():
    head = dict(type='FCNHead', in_channels=32, in_index=2, channels=8, num_convs=1)
    model = MODELS.build(
        dict(
            type='CCT',
            backbone=tiny_backbone(),
            decode_head=dict(**head, concat_input=False),
            domains=dict(day=dict(classes=('sky', 'ground', 'car'), foreground=('car',))),
            auxiliary=dict(
                in_channels=32,
                stride=8,
                # With a noise that rounds to none, what is decoded is z itself.
                perturbations=[
                    dict(type='F-Noise', num=2, bound=1e-12),
                    dict(type='I-VAT'),
                    dict(type='Obj-Msk'),
                ],
            ),
            data_preprocessor=dict(type='SegDataPreProcessor', mean=[0.0] * 3, std=[255.0] * 3),
        )
    )
    return model.eval()


def sample():
    return SegDataSample(metainfo=dict(domain='day', img_path='x.png', img_shape=(21, 32)))


def test_is_the_share_of_pixels_without_padding(model):
    image = torch.randint(0, 256, (3, 21, 32), generator=torch.manual_seed(0)).to(torch.uint8)
    shares = same_class(model, image, sample())
    assert list(shares) == ['F-Noise', 'I-VAT', 'Obj-Msk']

    domain = model.domains['day']
    padded = torch.nn.functional.pad(image.float() / 255, (0, 0, 0, 3))[None]
    with torch.no_grad(), model.active(domain):
        features = model.extract_feat(padded)
        main = domain.logits(features, (24, 32)).argmax(dim=1)
        decoded = [domain.auxiliary.decode(k, domain.z(features)).argmax(dim=1) for k in (0, 1)]
    same = [(one == main)[0, :21].float().mean().item() for one in decoded]
    assert shares['F-Noise'] == pytest.approx(100 * sum(same) / 2)
    assert all(0 <= share <= 100 for share in shares.values())


def test_is_the_same_each_time(model):
    image = torch.full((3, 21, 32), 90, dtype=torch.uint8)
    assert same_class(model, image, sample()) == same_class(model, image, sample())
