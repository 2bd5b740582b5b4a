"""A config is the same after it was written and read: its entries, and their order."""

import pytest
from mmengine.config import Config
from tiny_network import ROOT

from cct_mm.engine.config_text import config_text


def leaves(value, path=''):
    """All values with the way to them, in their order."""
    if isinstance(value, dict):
        for key, x in value.items():
            yield from leaves(x, f'{path}.{key}')
    elif isinstance(value, (list, tuple)):
        yield path, type(value)
        for i, x in enumerate(value):
            yield from leaves(x, f'{path}.{i}')
    else:
        yield path, value


@pytest.mark.parametrize(
    'name',
    [
        'cct/cct-augmented_efficientnet-lite0_camvid-n20.py',
        'multi_domain/cct_efficientnet-lite0_cityscapes-camvid-n50.py',
        'zoo/cct_upernet-r18_toy.py',
    ],
)
def test_of_a_config_reads_as_the_same(name, tmp_path):
    config = Config.fromfile(ROOT / 'configs' / name)
    (tmp_path / 'written.py').write_text(config_text(config), encoding='utf-8')
    found = Config.fromfile(tmp_path / 'written.py')
    assert list(leaves(found.to_dict())) == list(leaves(config.to_dict()))


def test_of_keys_that_are_no_words_and_of_classes(tmp_path):
    entries = {'decoder.0': 1, 'lambda': (2,), 'nothing': {}, 'kind': float, 'name': "it's"}
    path = tmp_path / 'written.py'
    path.write_text(config_text(Config(dict(own=entries, config=Config))), encoding='utf-8')
    found = Config.fromfile(path)
    assert list(found.own.to_dict().items()) == list(entries.items())
    assert found.config == 'mmengine.config.config.Config'


def test_lines_are_broken_where_they_are_too_long(tmp_path):
    inner = dict(numbers=list(range(40)), words={'a b': ('x' * 30,) * 4}, empty={})
    text = config_text(
        Config(dict(short=[1, (2,)], long=dict(deep=[inner, inner]), last='y' * 200))
    )
    lines = text.splitlines()
    assert lines[:4] == ['short = [1, (2,)]', 'long = dict(', '    deep=[', '        dict(']
    assert all(len(line) <= 100 for line in lines[:-1])
    path = tmp_path / 'written.py'
    path.write_text(text, encoding='utf-8')
    assert Config.fromfile(path).long.to_dict() == dict(deep=[inner, inner])
