"""Images, normalization and backbone have to agree in their channels."""

from types import SimpleNamespace

import pytest
from torch import nn

from cct_mm.datasets import LoadCheckedImage
from cct_mm.engine.channel_check import check_channels


def data(loader):
    """What is asked of a data set of all domains."""
    source = SimpleNamespace(name='day, labeled source', dataset=SimpleNamespace(pipeline=[loader]))
    return SimpleNamespace(sources=[source])


def network(values, in_channels):
    return SimpleNamespace(
        data_preprocessor=SimpleNamespace(mean=[0.0] * values, std=[1.0] * values),
        backbone=nn.Sequential(nn.Conv2d(in_channels, 2, 1)),
    )


@pytest.mark.parametrize(('values', 'channels'), [(1, 1), (3, 3), (4, 4), (1, 4), (1, 3)])
def test_what_agrees_is_accepted(values, channels):
    check_channels(network(values, channels), data(LoadCheckedImage(channels=channels)))


@pytest.mark.parametrize(
    ('values', 'in_channels', 'channels', 'sentence'),
    [
        (3, 1, 1, r'have 1 channel.*data_preprocessor\.mean has 3 values'),
        (3, 4, 4, r'have 4 channel.*data_preprocessor\.mean has 3 values'),
        (4, 3, 3, r'have 3 channel.*data_preprocessor\.mean has 4 values'),
        (4, 3, 4, r'the backbone takes 3, .*set model\.backbone\.in_channels=4'),
    ],
)
def test_what_does_not_is_named(values, in_channels, channels, sentence):
    with pytest.raises(ValueError, match=f'^day, labeled source: .*{sentence}'):
        check_channels(network(values, in_channels), data(LoadCheckedImage(channels=channels)))


def test_other_decoders_may_give_any_number():
    loader = LoadCheckedImage(imdecode_backend='tifffile', color_type='unchanged')
    check_channels(network(7, 7), data(loader))
