import json
import math
import os
import runpy
import signal
import sys
from functools import partial
from pathlib import Path

import pytest

from cct_mm.lab.grids import GridError, verify
from cct_mm.lab.grids.verify import find_row, judge, list_rows, read_rows, repeat

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def rows(lab, monkeypatch):
    """The rows of one record: supervised 50 and 51, cct 52 and 53 with seeds 0 and 1."""
    commands = {key: lab.run.keywords[key] for key in ('train_command', 'test_command')}
    monkeypatch.setattr(verify, 'run_grid', partial(verify.run_grid, **commands))
    record = lab.summary()
    lab.write('docs/records/small.json', json.dumps(record))
    by_hand = dict(command=record['command'], header=[], cells=[])
    lab.write('docs/records/by_hand.json', json.dumps(by_hand))
    return read_rows('.')


def verified(rows, text):
    row, run = find_row(rows, text)
    job = repeat(row, run, 'verify', '.')
    return job, judge(row, job.record, '.')


def elsewhere(rows):
    """Let the record be that of another machine."""
    rows[0].record['environment']['cpu'] = 'another'


def test_a_run_repeats_exactly_in_a_folder_of_its_own(lab, rows):
    job, verdict = verified(rows, 'small:cct:seed=1')
    assert verdict.agrees and 'exactly as recorded' in verdict.text
    assert (job.folder.as_posix(), job.record['mIoU']) == ('verify/small/cct_seed1', 53.0)
    assert not lab.folder.exists()


def test_it_is_run_again_each_time(lab, rows):
    folders = [verified(rows, 'small:cct')[0].folder.as_posix() for _ in range(2)]
    assert folders == ['verify/small/cct_seed0', 'verify/small-2/cct_seed0']


def test_an_interrupted_one_goes_on(lab, rows, monkeypatch):
    lab.write('hold', '')
    row, run = find_row(rows, 'small:cct')
    shown = verify.Display.__call__

    def interrupt(display, jobs):
        shown(display, jobs)
        if (jobs[0].train_dir / 'last_checkpoint').is_file():
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(verify.Display, '__call__', interrupt)
        repeat(row, run, 'verify', '.')
    (lab.root / 'hold').unlink()
    job = repeat(row, run, 'verify', '.')
    assert (job.folder.as_posix(), job.record['sessions']) == ('verify/small/cct_seed0', 2)


def test_another_result_of_the_same_machine_and_code_does_not_agree(lab, rows):
    # The stand-in is no part of the code that hashes cover.
    lab.change('stand_in/test.py', "settings['quality']", "0.001 + settings['quality']")
    _, verdict = verified(rows, 'small:cct')
    assert not verdict.agrees and 'should be exactly the same' in verdict.text


def test_a_gpu_is_not_expected_to_repeat_exactly(lab, rows):
    rows[0].record['environment']['gpu'] = 'H200'
    lab.change('stand_in/test.py', "settings['quality']", "0.001 + settings['quality']")
    _, verdict = verified(rows, 'small:cct')
    assert verdict.agrees and 'a GPU adds up in another order' in verdict.text


@pytest.mark.parametrize(('more', 'agrees'), [(2.2, True), (2.3, False), (-1.2, True)])
def test_elsewhere_two_standard_errors_are_allowed(lab, rows, more, agrees):
    elsewhere(rows)
    lab.change('stand_in/test.py', "settings['quality']", f"{more} + settings['quality']")
    _, verdict = verified(rows, 'small:cct')
    # 52.5 with a deviation of sqrt(1/2) over two seeds: 2 * sqrt(1/2 * (1 + 1/2)) = 1.73; seed 0
    # has 52 and what is added.
    assert 2 * math.sqrt(0.5 * 1.5) == pytest.approx(1.732, abs=1e-3)
    assert verdict.agrees == agrees
    assert '52.50 ± 1.73 for one run beside 2 seeds' in verdict.text
    assert 'cpu is' in verdict.text and 'there another' in verdict.text


def test_what_has_changed_since_is_named_and_the_bound_applies(lab, rows):
    lab.change('configs/cct.py', 'quality = 52', 'quality = 53')
    lab.change('configs/cct.py', 'channels=8', 'channels=9')
    lab.change('cct_mm/models/net.py', '1', '2')
    _, verdict = verified(rows, 'small:cct')
    assert verdict.agrees and 'its config changed; source files changed' in verdict.text


def test_an_old_record_has_a_mean_only(lab, rows):
    old = json.loads((lab.root / 'docs/records/small.json').read_text())
    for row in old['rows']:
        row.pop('hashes')
        row.update(mIoU=dict(mean=52.0, std=1.0))
    old.pop('environment')
    lab.write('docs/records/small.json', json.dumps(old))
    _, verdict = verified(read_rows('.'), 'small:cct')
    assert verdict.agrees and '52.00 ± 2.45 for one run beside 2 seeds' in verdict.text
    assert 'no hashes' in verdict.text and 'does not tell machine and versions' in verdict.text


def test_one_seed_alone_has_no_spread_to_judge_by(lab, rows):
    elsewhere(rows)
    for row in rows:
        row.row['mIoU'].pop('1')
    _, verdict = verified(rows, 'small:cct')
    assert verdict.agrees and 'exactly' in verdict.text
    lab.change('stand_in/test.py', "settings['quality']", "0.1 + settings['quality']")
    _, verdict = verified(rows, 'small:cct')
    assert verdict.agrees is None and 'the only seed of the record' in verdict.text


def test_rows_are_listed_by_the_names_that_find_them(lab, rows):
    names = [line.split()[0] for line in list_rows(rows).splitlines()]
    assert names == ['small:supervised', 'small:cct']
    for name in names:
        assert str(find_row(rows, name)[0]) == name


@pytest.mark.parametrize('text', ['small:ours', 'large:cct', 'small', 'small:cct:n=3'])
def test_an_unknown_row_is_refused_with_those_there_are(rows, text):
    with pytest.raises(GridError, match='names no rows, expected one') as error:
        find_row(rows, text)
    assert 'small:cct' in str(error.value)


def test_a_seed_is_a_number(rows):
    with pytest.raises(GridError, match="seed is 'one', expected an integer"):
        find_row(rows, 'small:cct:seed=one')


class TestTool:
    @pytest.fixture
    def tool(self, lab, rows, monkeypatch, capsys):
        main = runpy.run_path(str(ROOT / 'tools/verify.py'))['main']
        # What runpy returns is a copy; the function looks its names up here.
        main.__globals__['ROOT'] = lab.root

        def call(*arguments):
            monkeypatch.setattr(sys, 'argv', ['verify.py', *arguments])
            return main(), capsys.readouterr()

        return call

    def test_lists_rows(self, tool):
        code, output = tool()
        assert code == 0 and 'small:cct ' in output.out

    def test_a_record_whose_grid_is_gone_is_told(self, lab, rows, tool):
        path = lab.root / 'docs/records/small.json'
        record = json.loads(path.read_text())
        record['command'] = 'python tools/run_experiments.py gone.yaml'
        for row in record['rows']:
            row.update(mIoU=dict(mean=52.0, std=1.0))
        path.write_text(json.dumps(record))
        code, output = tool()
        assert code == 2 and 'gone.yaml' in output.err

    def test_ends_with_0_where_it_agrees(self, lab, tool):
        code, output = tool('small:cct')
        assert code == 0 and output.out.startswith('Agrees. small:cct: seed 0 has 52.00 mIoU')
        assert 'Run: work_dirs/verify/small/cct_seed0' in output.out

    def test_ends_with_1_where_it_does_not_or_a_run_fails(self, lab, tool):
        lab.change('stand_in/test.py', "settings['quality']", "9 + settings['quality']")
        code, output = tool('small:cct')
        assert code == 1 and output.out.startswith('Does not agree. small:cct')
        lab.change('stand_in/test.py', 'import json', 'raise ValueError')
        code, output = tool('small:cct')
        assert code == 1 and 'FAILED cct_seed0' in output.err and not output.out

    def test_ends_with_3_where_nobody_can_tell(self, lab, rows, tool):
        path = lab.root / 'docs/records/small.json'
        record = json.loads(path.read_text())
        record['environment']['cpu'] = 'another'
        for row in record['rows']:
            row['mIoU'].pop('1')
        path.write_text(json.dumps(record))
        lab.change('stand_in/test.py', "settings['quality']", "0.1 + settings['quality']")
        code, output = tool('small:cct')
        assert code == 3 and output.out.startswith('Cannot be told. small:cct')

    def test_ends_with_2_for_a_row_that_is_not_there(self, tool):
        code, output = tool('small:ours')
        assert code == 2 and 'verify.py: small:ours names no rows' in output.err
