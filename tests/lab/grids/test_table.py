import statistics
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cct_mm.lab.grids import Grid, Job, Run, make_table
from cct_mm.lab.grids.run_progress import RunProgress, seconds_left
from cct_mm.lab.grids.table import is_tie, mean_and_spread, paired_difference

MACHINE = dict(gpu=None, cpu='A CPU', cores=2, torch='2.9', runs_at_a_time=2, threads=1)


def job(method, seed, miou=None, axes=None, domains=None, **changes):
    run = Run(method, 'config.py', axes or {}, seed)
    if miou is None:
        return Job(run, Path('.'), **changes)
    record = dict(
        mIoU=miou,
        domains=domains or {'toy': {'mIoU': miou, 'IoU': {'sky': miou + 1, 'car': None}}},
        iterations=100,
        train_seconds=60.0 * (seed + 2),
        seconds_per_iteration=0.25,
        machine=MACHINE,
    )
    return Job(run, Path('.'), status='done', record=record, **changes)


def table(jobs, axes=None, baseline='supervised'):
    runs = tuple(one.run for one in jobs)
    grid = Grid('g.yaml', 'toy', baseline, axes or {}, 'test', 1, runs)
    return make_table(grid, jobs, 'python tools/run_experiments.py g.yaml')


def rows(text):
    """Cells of all table rows by their first cell."""
    lines = [line.strip('|').split('|') for line in text.splitlines() if line.startswith('|')]
    return {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in lines}


def test_mean_and_sample_standard_deviation_by_hand():
    # Deviations -2, 0, 2: (4 + 0 + 4) / (3 - 1) = 4.
    assert mean_and_spread([70.0, 72.0, 74.0]) == (72.0, 2.0)
    assert mean_and_spread([70.0]) == (70.0, None)


def test_the_difference_is_paired_by_seed_not_by_position():
    assert paired_difference({0: 3.0, 2: 5.0}, {2: 4.0, 1: 9.0, 0: 1.0}) == {0: 2.0, 2: 1.0}


@given(st.lists(st.tuples(*[st.floats(0, 100)] * 2), min_size=2, max_size=6))
def test_the_mean_paired_difference_is_the_difference_of_the_means(pairs):
    method, baseline = ({seed: pair[i] for seed, pair in enumerate(pairs)} for i in (0, 1))
    mean, _ = mean_and_spread(paired_difference(method, baseline).values())
    expected = statistics.mean(method.values()) - statistics.mean(baseline.values())
    assert mean == pytest.approx(expected, abs=1e-9)


def test_a_difference_below_twice_its_standard_error_is_a_tie():
    # Sample standard deviation 1, standard error 1 / sqrt(3) = 0.577.
    assert is_tie([0.1, 1.1, 2.1]) and is_tie([-0.1, -1.1, -2.1])
    assert not is_tie([0.2, 1.2, 2.2]) and not is_tie([-0.2, -1.2, -2.2])
    assert not is_tie([0.01]) and not is_tie([])


def test_a_tie_is_called_so():
    baseline = [job('supervised', seed, 50.0) for seed in range(3)]
    method = [job('cct', seed, 50.0 + gain) for seed, gain in enumerate([-1.0, 2.0, 3.0])]
    assert rows(table(baseline + method))['cct'][3] == '+1.33 ± 2.08, a tie'


def test_the_main_table_by_hand():
    baseline = [job('supervised', seed, miou) for seed, miou in enumerate([50.0, 52.0, 54.0])]
    method = [job('cct', seed, miou) for seed, miou in enumerate([52.0, 53.0, 57.0])]
    cells = rows(table(baseline + method))
    assert cells['supervised'] == [
        '3', '100', '52.00 ± 2.00', '–', '–', '3.0 min', '0.25',
    ]  # fmt: skip
    # 54 with deviations -2, -1, 3: sqrt(14 / 2); differences 2, 1, 3: 2 with sqrt(2 / 2).
    assert cells['cct'] == [
        '3', '100', '54.00 ± 2.65', '+2.00 ± 1.00', '0: +2.00, 1: +1.00, 2: +3.00',
        '3.0 min', '0.25',
    ]  # fmt: skip
    assert cells['sky'] == ['53.00', '55.00']
    assert cells['car'] == ['–', '–']


def test_one_seed_has_no_spread():
    cells = rows(table([job('supervised', 0, 50.0), job('cct', 0, 51.0)]))
    assert cells['cct'][2:4] == ['51.00 ± n/a', '+1.00 ± n/a']


def test_without_a_baseline_there_is_no_difference():
    text = table([job('one', 0, 50.0), job('other', 0, 51.0)], baseline=None)
    assert rows(text)['other'] == ['1', '100', '51.00 ± n/a', '2.0 min', '0.25']
    assert 'difference' not in text


def test_several_domains_get_a_column_and_a_class_table_each():
    def domains(a, b):
        return {
            'a': {'mIoU': a, 'IoU': {'sky': a}},
            'b': {'mIoU': b, 'IoU': {'floor': b}},
        }

    text = table([job('supervised', 0, 50.0, domains=domains(40.0, 60.0))])
    assert rows(text)['method'][2:5] == ['a mIoU', 'b mIoU', 'mean mIoU']
    assert rows(text)['supervised'][2:5] == ['40.00 ± n/a', '60.00 ± n/a', '50.00 ± n/a']
    assert rows(text)['floor'] == ['60.00']


def test_rows_of_one_domain_each_have_no_mean():
    jobs = [
        job(name, 0, miou, domains={name: {'mIoU': miou, 'IoU': {}}})
        for name, miou in (('a', 40.0), ('b', 60.0))
    ]
    cells = rows(table(jobs, baseline=None))
    assert cells['a'][2:5] == ['40.00 ± n/a', '–', '–']
    assert cells['b'][2:5] == ['–', '60.00 ± n/a', '–']


def test_means_over_different_domains_are_not_compared():
    def domains(*names):
        return {name: {'mIoU': 50.0, 'IoU': {}} for name in names}

    jobs = [job('supervised', 0, 50.0, domains=domains('a', 'b'))]
    jobs += [job('alone', 0, 60.0, domains=domains('a'))]
    jobs += [job('both', 0, 51.0, domains=domains('a', 'b'))]
    cells = rows(table(jobs))
    assert cells['both'][5:7] == ['+1.00 ± n/a', '0: +1.00']
    assert cells['alone'][4:7] == ['–', '–', '–']


def test_a_method_is_compared_at_the_same_point_with_a_baseline_that_may_know_fewer_axes():
    jobs = [
        job('supervised', 0, 50.0, {'n': 20}),
        job('supervised', 0, 60.0, {'n': 100}),
        job('cct', 0, 51.0, {'n': 20, 'weight': 1}),
        job('cct', 0, 63.0, {'n': 100, 'weight': 1}),
    ]
    text = table(jobs, {'n': [20, 100], 'weight': [1]})
    assert '| cct | 20 | 1 | 1 | 100 | 51.00 ± n/a | +1.00 ± n/a | 0: +1.00 |' in text
    assert '| cct | 100 | 1 | 1 | 100 | 63.00 ± n/a | +3.00 ± n/a | 0: +3.00 |' in text
    assert '| supervised | 20 | – |' in text


def test_missing_failed_and_outdated_runs_are_marked_and_named():
    jobs = [
        job('supervised', 0, 50.0),
        job('supervised', 1, 52.0),
        job('cct', 0, 51.0, differs=['code (cct_mm/x.py)']),
        job('cct', 1, status='failed'),
        job('cct', 2),
    ]
    text = table(jobs)
    cells = rows(text)
    assert 'cct' not in cells
    assert cells['cct †'][0] == '1 of 3'
    assert cells['cct †'][3:5] == ['+1.00 ± n/a', '0: +1.00']
    assert '- cct_seed0: code (cct_mm/x.py)' in text
    assert 'Failed: cct_seed1.' in text
    assert 'Not finished: cct_seed2.' in text
    assert 'python tools/run_experiments.py g.yaml' in text


def test_the_time_left_counts_what_is_not_done_at_the_pace_of_the_same_method():
    jobs = [job('a', 0, 1.0), job('a', 1, status='training'), job('a', 2), job('b', 0)]
    progress = [
        RunProgress(100, 100, 2.0, None),
        RunProgress(50, 100, 4.0, None),
        RunProgress(0, 100, None, None),
        RunProgress(0, 100, None, None),
    ]
    # 50 at 4 s, 100 at (2 + 4) / 2 s, 100 of the unknown b at the mean of all, two at a time.
    assert seconds_left(jobs, progress, 2) == (50 * 4 + 100 * 3 + 100 * 3) / 2
    # The longest run bounds it, however many run at a time.
    assert seconds_left(jobs, progress, 8) == 300
    assert seconds_left(jobs[2:], progress[2:], 2) is None
