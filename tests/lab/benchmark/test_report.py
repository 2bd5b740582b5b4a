"""Figures mean what they say: ratios, rates, turns and equal losses."""

import pytest
import torch

from cct_mm.lab.benchmark import report
from cct_mm.lab.benchmark.cases import Work
from cct_mm.lab.benchmark.measure import check_same_loss
from cct_mm.lab.benchmark.timing import time_in_turns

CPU = torch.device('cpu')


def test_ratios_are_taken_round_by_round():
    # The second round ran on a machine three times as slow: 9 / 3, not 9 / 1.
    one = {'case': 'a', **report.timed([2.0, 9.0, 3.0])}
    other = {'case': 'b', **report.timed([1.0, 3.0, 1.0])}
    ratio = report.ratio(one, other)
    assert ratio['time']['all'] == [2.0, 3.0, 3.0]
    assert ratio['time']['median'] == 3.0
    assert ratio['time']['quartiles'] == [2.5, 3.0]


def test_images_a_second_follow_from_the_median():
    entry = report.timed([0.5, 2.0, 0.25], images=4)
    assert entry['images_per_second'] == 8.0
    assert report.timed([0.5])['seconds']['quartiles'] == [0.5, 0.5]


def test_what_was_measured_of_one_alone_has_no_ratio():
    one = {'case': 'a', **report.timed([2.0, 9.0])}
    other = {'case': 'b', 'memory': {'bytes': 1, 'beyond_gradients': None}}
    assert report.ratio(one, other) == {'of': 'a', 'over': 'b'}
    # The last round was interrupted.
    assert report.ratio(one, {'case': 'b', **report.timed([1.0])})['time']['all'] == [2.0]


def test_works_take_turns():
    calls = []

    def work(name, loss):
        return Work(lambda: calls.append(name) or torch.tensor(loss))

    works = {'a': work('a', 1.0), 'b': work('b', 2.0)}
    timings = list(time_in_turns(works, CPU, rounds=3, seed=0))
    assert calls == ['a', 'b'] * 3
    assert [timing.turn for timing in timings] == [0, 0, 1, 1, 2, 2]
    assert [(timing.name, timing.loss) for timing in timings[:2]] == [('a', 1.0), ('b', 2.0)]


@pytest.mark.parametrize('loss', [1.01, float('nan')])
def test_cases_that_compute_different_losses_are_not_compared(loss):
    check_same_loss({'fused': 1.0001, 'reference': 1.0}, [('fused', 'reference')])
    with pytest.raises(ValueError, match='"fused".*"reference".*losses'):
        check_same_loss({'fused': loss, 'reference': 1.0}, [('fused', 'reference')])
