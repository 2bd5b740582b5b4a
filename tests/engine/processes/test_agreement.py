from unittest import mock

import pytest
from mmengine.config import Config

from cct_mm.engine.processes.agreement import AgreementHook, check_agreement


def check(*facts):
    """As rank 0 of as many processes, each of which has its facts."""
    with mock.patch('cct_mm.engine.processes.agreement.all_gather_object', lambda own: list(facts)):
        check_agreement(facts[0])


def test_processes_that_have_the_same_pass():
    check(*[{'torch': '2.1', 'config': 'a = 1\nb = 2\n'}] * 3)


def test_ranks_and_values_are_named():
    with pytest.raises(ValueError, match='torch: rank 0, 2 .*2.1, rank 1 .*2.2; '):
        check({'torch': '2.1'}, {'torch': '2.2'}, {'torch': '2.1'})


def test_of_a_text_the_lines_that_differ_are_named():
    with pytest.raises(ValueError, match='config: rank 0 .*b = 2, rank 1 .*b = 3; c = 4'):
        check({'config': 'a = 1\nb = 2\n'}, {'config': 'a = 1\nb = 3\nc = 4\n'})


def test_what_one_process_alone_has_is_a_difference():
    with pytest.raises(ValueError, match='val: rank 0 .*3 images, rank 1 .*none;'):
        check({'val': '3 images'}, {})


def facts_of(**entries):
    """What a process compares whose config has these entries."""
    runner = mock.Mock(spec=['cfg'], cfg=Config(entries))
    runner._train_loop = runner._val_loop = runner._test_loop = None
    module = 'cct_mm.engine.processes.agreement'
    with (
        mock.patch(f'{module}.get_world_size', lambda: 2),
        mock.patch(f'{module}.check_agreement') as compare,
    ):
        AgreementHook().before_run(runner)
    return compare.call_args.args[0]


def test_folders_may_differ_even_if_one_is_too_long_for_a_line():
    short, long = (
        facts_of(data=dict(root=f'{folder}/camvid', lists=['a.txt', 'b.txt']))
        for folder in ('/data', '/data' + '/of_another_host' * 10)
    )
    check(short, long)
    with pytest.raises(ValueError, match='config: rank 0 .*camvid.*, rank 1 .*sunrgbd'):
        check(short, facts_of(data=dict(root='/data/sunrgbd', lists=['a.txt', 'b.txt'])))
