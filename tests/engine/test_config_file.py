"""Config files: a key that a dict names twice is refused, and the text keeps the order."""

import copy
import re
import runpy
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from cct_mm.engine.checkpoints.config_changes import parse_config
from cct_mm.engine.config_file import (
    HOOKS,
    check_repeated_keys,
    check_training,
    missing_hooks,
    read_config,
)

ROOT = Path(__file__).parents[2]

REPEATED = """
model = dict(
    domains={
        'a-b': dict(classes=('x',)),
        'c': dict(classes=('y',)),
        'a-b': dict(classes=('z',)),
    },
)
"""


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return write


def refused(path, kind=ValueError):
    named = rf"^{re.escape(str(path))}, line 6: .*'a-b'.* line 4, expected .*once.*rename or remove"
    return pytest.raises(kind, match=named)


def test_repeated_key_is_named_with_file_and_line(write):
    path = write('config.py', REPEATED)
    with refused(path):
        check_repeated_keys(path)


@pytest.mark.parametrize('base', ["'base/one.py'", "['two.py', 'base/one.py']"])
def test_repeated_key_of_a_base_file_of_a_base_file_is_found(write, tmp_path, base):
    write('base/deep.py', REPEATED)
    write('base/one.py', "_base_ = './deep.py'")
    write('two.py', 'x = 1')
    path = write('config.py', f'_base_ = {base}')
    with refused(tmp_path / 'base/deep.py'):
        check_repeated_keys(path)


def test_same_key_in_different_dicts_and_unpacked_passes(write):
    path = write('config.py', "x = {'a': {'a': 1}, 'b': {'a': 2}}\ny = {**x, **x, 'a': 3}")
    check_repeated_keys(path)


def test_what_is_no_python_is_named_with_its_line(write):
    with pytest.raises(ValueError, match=r'config\.py, line 2: .*expected a config in Python'):
        check_repeated_keys(write('config.py', 'y = 1\nx = {'))


def test_what_is_no_python_by_its_name_or_not_there_is_left_to_mmengine(write):
    check_repeated_keys(write('config.json', '{}'))
    check_repeated_keys(write('config.py', "_base_ = ['gone.py', 'mmseg::gone.py']"))


def test_every_config_of_this_repository_passes():
    for path in (ROOT / 'configs').rglob('*.py'):
        check_repeated_keys(path)


@pytest.mark.parametrize('tool', ['test.py CONFIG CHECKPOINT', 'train.py CONFIG'])
def test_tool_refuses_such_a_config(write, monkeypatch, tool):
    config, checkpoint = write('config.py', REPEATED), write('some.pth', '')
    name, *arguments = tool.split()
    paths = {'CONFIG': str(config), 'CHECKPOINT': str(checkpoint)}
    monkeypatch.setenv('LOCAL_RANK', '0')
    monkeypatch.setattr(sys, 'argv', [name, *(paths[argument] for argument in arguments)])
    with refused(config, SystemExit):
        runpy.run_path(str(ROOT / 'tools' / name), run_name='__main__')


class TestText:
    def test_has_the_entries_of_mmengines_in_their_own_order(self, write):
        path = write('config.py', "d = 3\na = dict(c='once', b=[1, (2,)], kind=float)\n")
        config = read_config(path)
        text = config.pretty_text
        assert parse_config(text) == parse_config(Config.fromfile(path).pretty_text)
        assert list(parse_config(text)) == ['d', 'a']
        assert [copy.deepcopy(config).pretty_text, config.dump()] == [text] * 2

    def test_follows_changes(self, write):
        config = read_config(write('config.py', 'a = dict(b=1)\n'))
        before = config.pretty_text
        config.merge_from_dict({'a.b': 2})
        config.c = 3
        assert config.pretty_text == before.replace('b=1', 'b=2') + 'c = 3\n'


class TestTraining:
    @staticmethod
    def config(max_iters=4, **optimizer):
        optimizer = {'type': 'SGD', 'lr': 0.1, **optimizer}
        return Config(
            dict(train_cfg=dict(max_iters=max_iters), optim_wrapper=dict(optimizer=optimizer))
        )

    def test_of_sense_passes(self):
        check_training(self.config())
        check_training(self.config(type='AdamW', lr=0))
        check_training(Config({}))

    def test_validation_is_whole_or_there_is_none(self):
        domains = dict(type='MultiDomainDataset', domains=dict(day=dict()))
        whole = dict(val_dataloader=dict(dataset=domains), val_cfg=dict(), val_evaluator=dict())
        check_training(Config(whole))
        check_training(Config(dict.fromkeys(whole)))
        with pytest.raises(ValueError, match='no val_cfg, .*val_dataloader=None, val_cfg=None'):
            check_training(Config({**whole, 'val_cfg': None}))
        nothing = dict(dataset=dict(type='MultiDomainDataset'))
        with pytest.raises(ValueError, match='names no domains, .*val_evaluator=None'):
            check_training(Config({**whole, 'val_dataloader': nothing}))

    @pytest.mark.parametrize('max_iters', [0, -5, 2.5, '400'])
    def test_of_no_length_is_refused(self, max_iters):
        with pytest.raises(ValueError, match=rf'train_cfg\.max_iters is {max_iters!r}, expected'):
            check_training(self.config(max_iters))

    @pytest.mark.parametrize('optimizer', [dict(type='Adan'), dict(lr='high'), dict(lr=-0.1)])
    def test_of_an_optimizer_that_is_none_is_refused(self, optimizer):
        ((key, value),) = optimizer.items()
        with pytest.raises(ValueError, match=rf'optim_wrapper\.optimizer\.{key} is {value!r}, '):
            check_training(self.config(**optimizer))


class TestMissingHooks:
    def test_those_of_the_runtime_are_all(self):
        runtime = Config.fromfile(ROOT / 'configs/_base_/default_runtime.py')
        assert [hook.type for hook in runtime.custom_hooks] == list(HOOKS)
        assert missing_hooks(runtime) == ''

    @pytest.mark.parametrize('hooks', [None, [], [dict(type='EMAHook')]])
    def test_names_all_where_the_list_is_set_anew(self, hooks):
        said = missing_hooks(Config(dict(custom_hooks=hooks)))
        assert all(f'no {name}' in said for name in HOOKS)

    def test_names_those_that_are_missing(self):
        hooks = [dict(type=name) for name in HOOKS[:-1]]
        assert 'custom_hooks has no LostValidationHook, so' in missing_hooks(
            Config(dict(custom_hooks=hooks))
        )
