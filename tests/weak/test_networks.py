"""The size at which a network looks at an image."""

import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope

from cct_mm.weak.networks import evaluation_resizes

RESIZE = dict(type='Resize', scale=(64, 48), keep_ratio=False)
PIPELINE = [dict(type='LoadCheckedImage'), RESIZE, dict(type='PackSegInputs')]
SOURCE = dict(type='ListDataset', pipeline=PIPELINE)


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


def loader(source):
    return dict(dataset=dict(domains=dict(day=dict(labeled=source))))


@pytest.mark.parametrize(
    'config',
    [
        dict(val_dataloader=loader(SOURCE)),
        dict(val_dataloader=None, test_dataloader=loader(SOURCE)),
        dict(val_dataloader=loader(dict(type='ConcatDataset', datasets=[SOURCE, SOURCE]))),
        dict(val_dataloader=None, test_pipeline=PIPELINE),
    ],
)
def test_is_that_of_its_evaluation(config):
    assert evaluation_resizes(Config(config), 'day') == [RESIZE]


@pytest.mark.parametrize(
    'config', [dict(val_dataloader=None), dict(test_dataloader=loader(SOURCE))]
)
def test_is_asked_for_where_no_evaluation_says_it(config):
    with pytest.raises(ValueError, match='the config evaluates no domain night, expected one in'):
        evaluation_resizes(Config(config), 'night')
