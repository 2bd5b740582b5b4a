"""A tiny network of two domains."""

import pytest
from mmengine.registry import DefaultScope
from tiny_predictor import write_network

from cct_mm.apis import init_model


@pytest.fixture(scope='session')
def network(tmp_path_factory):
    """The folder of its config and its checkpoint."""
    folder = tmp_path_factory.mktemp('network')
    write_network(folder)
    return folder


@pytest.fixture
def model(network):
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield init_model(network / 'tiny.py', network / 'tiny.pth')
