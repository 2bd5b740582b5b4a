from unittest import mock

import pytest

from cct_mm.engine.processes.agreement import check_agreement


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
