"""Options of the command line: what words set, and what is refused."""

import pytest
from messages import naming
from mmengine.config import Config

from cct_mm.engine.config_options import merge_options, parse_options


class TestParse:
    def test_numbers_booleans_lists_and_strings_are_mmengines(self):
        words = ['a=1', 'b.c=0.1', 'd=True', 'e=[1,x]', 'f=(1,2)', 'g=None', 'h=a/b=c']
        assert parse_options(words) == {
            'a': 1,
            'b.c': 0.1,
            'd': True,
            'e': [1, 'x'],
            'f': (1, 2),
            'g': None,
            'h': 'a/b=c',
        }

    def test_a_dict_is_written_as_in_a_config(self):
        expected = {'a': {'type': 'X', 'n': [1, {'b': (2, 3)}]}}
        assert parse_options(["a=dict(type='X', n=[1, dict(b=(2, 3))])"]) == expected
        assert parse_options(["a={'type': 'X', 'n': [1, {'b': (2, 3)}]}"]) == expected

    def test_so_is_a_list_of_dicts(self):
        expected = {'a': [{'type': 'X', 'n': 2}, {'type': 'Y, Z'}]}
        assert parse_options(["a=[dict(type='X', n=2), dict(type='Y, Z')]"]) == expected
        config = Config(dict(a=[dict(type='V', m=1)]))
        merge_options(config, parse_options(["a=[dict(type='X', n=2), dict(type='Y, Z')]"]))
        assert config.to_dict() == expected

    def test_the_last_of_two_for_one_key_counts_and_none_are_nothing(self):
        assert parse_options(['a=1', 'a=2']) == {'a': 2}
        assert parse_options(None) == {}

    @pytest.mark.parametrize('word', ['a', '=1', 'a=[1,2', 'a=dict(b=x)', "a={'b': 1"])
    def test_what_cannot_be_read_is_named(self, word):
        with naming(f'--cfg-options {word}', 'expected'):
            parse_options([word])


class TestMerge:
    def test_override_entries_and_add_what_mmengine_knows(self):
        config = Config(dict(train_cfg=dict(max_iters=4)))
        merge_options(config, {'train_cfg.max_iters': 5, 'load_from': 'x.pth', 'sync_bn': 'torch'})
        assert (config.train_cfg.max_iters, config.load_from, config.sync_bn) == (
            5,
            'x.pth',
            'torch',
        )

    def test_take_another_entry_of_the_config_in_the_place_of_one(self):
        config = Config(
            dict(
                data=dict(a=dict(labeled=1, unlabeled=2)),
                full=dict(labeled=3),
                mix=[dict(type='x')],
            )
        )
        merge_options(config, {'data.a': '_base_.full', 'data.b': '_base_.mix', 'data.c': 'full'})
        assert config.data.to_dict() == dict(a=dict(labeled=3), b=[dict(type='x')], c='full')
        assert config.full.to_dict() == dict(labeled=3)
        config.data.a.labeled = 4
        assert config.full.labeled == 3

    def test_take_an_entry_to_where_nothing_was(self):
        config = Config(dict(data=dict(a=1), full=dict(labeled=3)))
        merge_options(config, {'data.b': '_base_.full', 'data.c.d': '_base_.full'})
        assert config.data.to_dict() == dict(a=1, b=dict(labeled=3), c=dict(d=dict(labeled=3)))

    def test_take_a_part_of_an_entry_and_entries_in_lists(self):
        config = Config(dict(data=dict(a=dict(x=1)), full=dict(labeled=dict(y=3))))
        merge_options(
            config,
            {'data.a': '_base_.full.labeled', 'data.b': ['_base_.full', '_base_.full.labeled.y']},
        )
        assert config.data.to_dict() == dict(a=dict(y=3), b=[dict(labeled=dict(y=3)), 3])

    def test_of_a_part_that_is_not_there_are_refused_with_the_one_that_was_meant(self):
        config = Config(dict(data=dict(a=1), full=dict(labeled=dict(y=3))))
        with pytest.raises(ValueError, match=r"\.full has no entry 'labelled'.*full\.labeled"):
            merge_options(config, {'data.a': '_base_.full.labelled'})
        with pytest.raises(ValueError, match=r"_base_\.full\.labeled\.y has no entry 'z'"):
            merge_options(config, {'data.a': ['_base_.full.labeled.y.z']})

    def test_that_would_merge_a_dict_with_an_item_of_a_list_are_refused(self):
        config = Config(dict(data=[dict(type='x', n=1)], other=dict(type='y'), number=3))
        with pytest.raises(ValueError, match=r'set the whole list: data=\[\.\.\.\]'):
            merge_options(config, {'data.0': '_base_.other'})
        merge_options(config, {'data.0.n': '_base_.number', 'data.0.m': '_base_.other'})
        assert config.data == [dict(type='x', n=3, m=dict(type='y'))]

    def test_of_an_entry_that_is_not_there_are_refused_with_the_one_that_was_meant(self):
        config = Config(dict(data=dict(a=1), camvid_n50=dict(labeled=1)))
        with pytest.raises(ValueError, match=r'data\.a=_base_\.camvid_n5:.*_base_\.camvid_n50'):
            merge_options(config, {'data.a': '_base_.camvid_n5'})
        assert config.data.a == 1

    def test_that_name_no_entry_are_refused_with_the_one_that_was_meant(self):
        config = Config(dict(train_cfg=dict(max_iters=4)))
        with pytest.raises(ValueError, match=r'train_cgf\.max_iters: .*did you mean train_cfg\?'):
            merge_options(config, {'train_cgf.max_iters': 5})
        assert config.train_cfg.max_iters == 4
