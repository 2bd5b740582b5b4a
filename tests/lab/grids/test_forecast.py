import json
import sys

import pytest

from cct_mm.lab.grids import GridError
from cct_mm.lab.grids.forecast import forecast, measure_pace
from cct_mm.lab.grids.run_progress import time_together


def never(run):
    raise AssertionError(f'{run.name} was measured')


def rows(lab, stale='refuse', measure=never, at_a_time=2):
    """Cells of each run, and the whole text; nothing may change on disk."""
    before = {path: path.stat().st_mtime_ns for path in lab.root.rglob('*')}
    text = forecast(lab.grid(), 'work', '.', at_a_time, stale, measure)
    assert {path: path.stat().st_mtime_ns for path in lab.root.rglob('*')} == before
    lines = [line.strip('| ').split(' | ') for line in text.splitlines() if '_seed' in line]
    return {cells[0]: [cell.strip() for cell in cells[1:]] for cells in lines}, text


def spent(lab, run, seconds):
    """Let a finished run have taken some seconds."""
    path = lab.folder / run / 'result.json'
    path.write_text(json.dumps({**json.loads(path.read_text()), 'train_seconds': seconds}))


def test_runs_together_take_as_long_as_the_longest_or_as_all_machines_full():
    assert time_together([10.0, 20.0, 90.0], at_a_time=2) == 90.0
    assert time_together([60.0, 60.0, 60.0], at_a_time=2) == 90.0


def test_each_config_is_measured_once_whatever_its_seeds(lab):
    measured = []
    found, text = rows(lab, measure=lambda run: measured.append(run.method) or 2.0)
    assert sorted(measured) == ['cct', 'supervised']
    assert found['cct_seed0'] == ['to be trained', '6', '2', 'measured', '0:00:12']
    # 4 runs of 6 iterations at 2 seconds.
    assert 'About 0:00:48 of training, 0:00:24 with 2 at a time' in text


def test_finished_runs_say_what_the_others_of_their_config_take(lab):
    lab.run(lab.grid())
    spent(lab, 'cct_seed0', 60.0)
    # The same training, evaluated on validation too.
    record = lab.folder / 'cct_seed0/result.json'
    (record.parent / 'result_val.json').write_text(record.read_text())
    (lab.folder / 'cct_seed1/result.json').unlink()
    (lab.folder / 'cct_seed1').rename(lab.root / 'aside')
    found, text = rows(lab)
    assert found['cct_seed0'] == ['done']
    assert found['cct_seed1'] == ['to be trained', '6', '10', 'recorded by 1 run(s)', '0:01:00']
    assert '1 of 4 runs to do' in text


def test_another_grid_with_the_same_config_counts(lab):
    lab.run(lab.grid())
    for run in ('cct_seed0', 'cct_seed1', 'supervised_seed0', 'supervised_seed1'):
        spent(lab, run, 12.0)
    lab.change('grid.yaml', 'name: toy', 'name: other')
    found, _ = rows(lab)
    assert {tuple(cells) for cells in found.values()} == {
        ('to be trained', '6', '2', 'recorded by 2 run(s)', '0:00:12')
    }


def test_a_started_run_has_less_to_do_from_its_last_checkpoint(lab):
    lab.run(lab.grid())
    for path in lab.folder.glob('*/result.json'):
        path.unlink()
    train = lab.folder / 'cct_seed0/train'
    state = train.parent / 'state.json'
    state.write_text(json.dumps({**json.loads(state.read_text()), 'trained': False}))
    (train / 'iter_6.pth').unlink()
    (train / 'last_checkpoint').write_text('iter_4.pth')
    found, _ = rows(lab)
    # The stand-in logs half a second for each iteration.
    assert found['cct_seed0'] == ['to be resumed', '2', '0.5', 'logged by 2 run(s)', '0:00:01']
    assert found['cct_seed1'][:2] == ['to be evaluated', '0']


def test_stale_runs_are_named_and_counted_where_they_are_run_again(lab):
    lab.run(lab.grid())
    lab.change('configs/cct.py', 'quality = 52', 'quality = 55')
    found, text = rows(lab)
    assert found['cct_seed0'][0] == 'stale'
    assert '- cct_seed0: config (quality: 52 -> 55)' in text
    assert '--keep or --rerun' in text and '0 of 4 runs to do' in text
    assert rows(lab, stale='keep')[0]['cct_seed0'][0] == 'done'
    found, text = rows(lab, stale='rerun', measure=lambda run: 1.0)
    assert found['cct_seed0'] == ['to be trained again', '6', '1', 'measured', '0:00:06']
    assert 'Stale' not in text


def test_options_are_those_of_the_training(lab):
    lab.change(
        'grid.yaml',
        'baseline: supervised',
        'baseline: supervised\ncfg_options: {model.channels: 3}',
    )
    _, text = rows(lab, measure=lambda run: 1.0)
    assert '    tools/train.py configs/cct.py --cfg-options model.channels=3\n' in text


def test_missing_data_is_named_before_anything_is_measured(lab):
    (lab.root / 'data/toy/train.txt').unlink()
    with pytest.raises(GridError, match='ann_file data/toy/train.txt does not exist'):
        rows(lab)


def test_a_measured_training_ends_after_a_few_iterations_and_leaves_nothing(lab):
    lab.change('configs/cct.py', 'max_iters=6', 'max_iters=100000')
    lab.change('configs/cct.py', 'pause = 0.0', 'pause = 0.001')
    # The first three take 1 second each.
    lab.change('stand_in/train.py', 'time=0.5', 'time=1.0 if step <= 3 else 0.25')
    run = lab.grid().runs[1]
    command = [sys.executable, 'stand_in/train.py']
    assert measure_pace(run, command, threads=1, folder='.') == 0.25
    assert not list(lab.root.glob('.measured_*'))


def test_a_training_that_fails_is_quoted(lab):
    lab.change('configs/cct.py', 'failing_seeds = []', 'failing_seeds = [0]')
    run = lab.grid().runs[1]
    with pytest.raises(GridError, match='the loss is not finite'):
        measure_pace(run, [sys.executable, 'stand_in/train.py'], threads=1)
