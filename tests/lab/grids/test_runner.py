import json
import os
import runpy
import signal
import sys
from functools import partial
from pathlib import Path

import pytest

from cct_mm.lab.grids import GridError, runner, screen
from cct_mm.lab.grids.jobs import log_tail, read_jobs

ROOT = Path(__file__).parents[3]


def result(lab, run, name='result.json'):
    return json.loads((lab.folder / run / name).read_text())


def logged(lab, run, text):
    return (lab.folder / run / 'train.log').read_text().count(text)


def only_cct(lab):
    lab.change('grid.yaml', 'supervised: configs/supervised.py, ', '')
    lab.change('grid.yaml', 'baseline: supervised', 'baseline: cct')


def interrupt(lab, number=signal.SIGINT):
    """Run the grid and send it a signal once both trainings have a checkpoint, but not the last."""
    lab.write('hold', 'the stand-in waits at its first checkpoint as long as this is there')

    def on_tick(jobs):
        if len(list(lab.folder.glob('*/train/last_checkpoint'))) == 2:
            os.kill(os.getpid(), number)

    with pytest.raises(KeyboardInterrupt):
        lab.run(lab.grid(), on_tick=on_tick)
    (lab.root / 'hold').unlink()


def test_a_grid_runs_and_leaves_one_record_a_run(lab):
    lab.change('configs/cct.py', 'pause = 0.0', 'pause = 0.05')
    jobs = lab.run(lab.grid())
    assert [job.status for job in jobs] == ['done'] * 4
    record = result(lab, 'cct_seed1')
    assert record['mIoU'] == 53.0
    assert record['domains'] == {'toy': {'mIoU': 53.0, 'IoU': {'sky': 54.0, 'car': None}}}
    assert record['last_val'] == {'step': 6, 'mIoU': 58.0}
    assert record['best_val'] == {'step': 4, 'mIoU': 60.0}
    assert record['seconds_per_iteration'] == 0.5
    assert record['peak_memory_mb'] == 106.0
    assert record['iterations'] == 6
    assert record['sessions'] == 1
    assert record['train_seconds'] >= 6 * 0.05
    assert set(record['hashes']) == {'config', 'code', 'data', 'run'}
    assert record['machine']['torch']
    assert record['commands']['train'].startswith('python ')
    assert '--resume --cfg-options randomness.seed=1' in record['commands']['train']
    assert 'iter_6.pth' in record['commands']['test']
    assert 'threads 1 from 0' in (lab.folder / 'cct_seed1/train.log').read_text()


def test_a_finished_grid_is_not_run_again(lab):
    lab.run(lab.grid())
    before = {path: path.stat().st_mtime_ns for path in lab.folder.rglob('*') if path.is_file()}
    jobs = lab.run(lab.grid())
    after = {path: path.stat().st_mtime_ns for path in lab.folder.rglob('*') if path.is_file()}
    assert [job.status for job in jobs] == ['done'] * 4
    assert after == before


def test_validation_first_then_the_test_split_without_training_again(lab):
    only_cct(lab)
    lab.change('grid.yaml', 'seeds', 'split: val\nseeds')
    lab.run(lab.grid())
    assert result(lab, 'cct_seed0', 'result_val.json')['mIoU'] == 62.0
    assert not (lab.folder / 'cct_seed0/result.json').exists()
    lab.change('grid.yaml', 'split: val', 'split: test')
    lab.run(lab.grid())
    assert result(lab, 'cct_seed0')['mIoU'] == 52.0
    assert result(lab, 'cct_seed0', 'result_val.json')['mIoU'] == 62.0
    assert logged(lab, 'cct_seed0', 'threads') == 1


def test_scales_and_flips_are_a_further_evaluation_of_the_same_training(lab):
    only_cct(lab)
    lab.run(lab.grid())
    lab.change('grid.yaml', 'seeds', 'split: test+tta\nseeds')
    lab.run(lab.grid())
    plain, averaged = (result(lab, 'cct_seed0', f'result{end}.json') for end in ('', '_test+tta'))
    assert '--split test --tta --cfg-options' in averaged['commands']['test']
    assert '--tta' not in plain['commands']['test']
    assert (plain['split'], averaged['split']) == ('test', 'test+tta')
    assert logged(lab, 'cct_seed0', 'threads') == 1


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_grid_resumes_where_it_was(lab, number):
    only_cct(lab)
    interrupt(lab, number)
    assert not list(lab.folder.glob('*/result.json'))
    states = [json.loads(path.read_text()) for path in sorted(lab.folder.glob('*/state.json'))]
    jobs = lab.run(lab.grid())
    assert [job.status for job in jobs] == ['done', 'done']
    for job, state in zip(jobs, states, strict=True):
        assert job.record['sessions'] == 2
        assert logged(lab, job.run.name, 'from 0') == 1
        assert logged(lab, job.run.name, 'from 2') == 1
        assert job.record['train_seconds'] > state['train_seconds'] > 0


def test_a_process_that_ignores_the_interrupt_is_killed(lab):
    only_cct(lab)
    lab.change('configs/cct.py', 'pause = 0.0', 'pause = 60')
    lab.change('stand_in/train.py', 'import json', 'import signal, json')
    deaf = 'signal.signal(signal.SIGINT, signal.SIG_IGN)\nseed, total'
    lab.change('stand_in/train.py', 'seed, total', deaf)
    pids = []

    def on_tick(jobs):
        logs = [lab.folder / job.run.name / 'train.log' for job in jobs]
        if not pids and all(log.is_file() and 'threads' in log.read_text() for log in logs):
            pids.extend(job._process.pid for job in jobs)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        lab.run(lab.grid(), on_tick=on_tick, grace_seconds=0.3)
    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_failed_run_stops_no_other_and_is_tried_again(lab):
    lab.change('configs/cct.py', 'failing_seeds = []', 'failing_seeds = [0]')
    jobs = {job.run.name: job for job in lab.run(lab.grid())}
    failed = jobs.pop('cct_seed0')
    assert [job.status for job in jobs.values()] == ['done'] * 3
    assert failed.status == 'failed'
    assert 'tools/train.py ended with code 1' in failed.error
    tail = log_tail(failed.log, 15).splitlines()
    assert len(tail) == 15
    assert tail[-1] == 'the loss is not finite'
    stored = {job.run.name: job for job in read_jobs(lab.grid(), 'work', '.')}
    assert stored['cct_seed0'].status == 'failed'

    lab.change('stand_in/train.py', "in settings['failing_seeds']", 'in []')
    assert [job.status for job in lab.run(lab.grid())] == ['done'] * 4


def test_a_failed_run_without_a_checkpoint_may_be_repaired_without_asking(lab):
    only_cct(lab)
    lab.change('configs/cct.py', 'failing_seeds = []', 'failing_seeds = [0, 1]')
    lab.run(lab.grid())
    lab.change('configs/cct.py', 'failing_seeds = [0, 1]', 'failing_seeds = []')
    jobs = lab.run(lab.grid())
    assert [job.status for job in jobs] == ['done', 'done']
    assert jobs[0].record['sessions'] == 1


def test_a_training_that_ends_early_is_no_result(lab):
    only_cct(lab)
    lab.change('configs/cct.py', 'quality', 'stop_at = 4\nquality')
    job = lab.run(lab.grid())[0]
    assert job.status == 'failed'
    assert 'iter_4.pth, expected iter_6.pth' in job.error


def test_an_evaluation_without_a_number_is_no_result(lab):
    only_cct(lab)
    lab.change('stand_in/test.py', "{'mIoU': value", "{'mIoU': float('nan')")
    job = lab.run(lab.grid())[0]
    assert job.status == 'failed'
    assert 'reported mIoU = nan' in job.error
    assert not list(lab.folder.glob('*/result.json'))


class TestResultsOfAnotherState:
    @pytest.fixture(autouse=True)
    def finished(self, lab):
        lab.run(lab.grid())
        lab.change('configs/cct.py', 'quality = 52', 'quality = 55')

    def test_are_refused_with_what_differs_before_anything_is_started(self, lab):
        before = sorted(lab.folder.rglob('*'))
        with pytest.raises(GridError) as error:
            lab.run(lab.grid())
        assert 'cct_seed0: config (quality: 52 -> 55)' in str(error.value)
        assert 'supervised' not in str(error.value)
        assert '--keep' in str(error.value)
        assert '--rerun' in str(error.value)
        assert sorted(lab.folder.rglob('*')) == before

    def test_are_kept_and_marked_on_request(self, lab):
        jobs = {job.run.name: job for job in lab.run(lab.grid(), stale='keep')}
        assert jobs['cct_seed0'].record['mIoU'] == 52.0
        assert jobs['cct_seed0'].differs == ['config (quality: 52 -> 55)']
        assert jobs['supervised_seed0'].differs == []

    def test_are_moved_aside_and_run_again_on_request(self, lab):
        old = result(lab, 'cct_seed0')
        lab.run(lab.grid(), stale='rerun')
        assert result(lab, 'cct_seed0')['mIoU'] == 55.0
        stale = lab.folder / f'stale-{old["hashes"]["run"][:8]}' / 'cct_seed0'
        assert json.loads((stale / 'result.json').read_text()) == old
        assert logged(lab, 'supervised_seed0', 'threads') == 1

    def test_never_meet_in_one_folder(self, lab):
        lab.run(lab.grid(), stale='rerun')
        lab.change('configs/cct.py', 'quality = 55', 'quality = 52')
        lab.run(lab.grid(), stale='rerun')
        lab.change('configs/cct.py', 'quality = 52', 'quality = 55')
        lab.run(lab.grid(), stale='rerun')
        values = [
            json.loads(path.read_text())['mIoU']
            for path in lab.folder.glob('*/cct_seed0*/result.json')
        ]
        assert sorted(values) == [52.0, 52.0, 55.0]


def test_an_interrupted_training_of_another_state_is_refused_or_marked_for_good(lab):
    only_cct(lab)
    interrupt(lab)
    lab.change('cct_mm/models/net.py', '1', '2')
    with pytest.raises(GridError, match=r'code \(cct_mm/models/net.py\)'):
        lab.run(lab.grid())
    lab.run(lab.grid(), stale='keep')
    lab.change('cct_mm/models/net.py', '2', '1')
    job = max(read_jobs(lab.grid(), 'work', '.'), key=lambda job: job.record['sessions'])
    assert job.differs == ['code (changed while it ran)']


def test_code_that_changes_during_a_training_is_noticed(lab):
    only_cct(lab)

    def on_tick(jobs):
        if jobs[0].status == 'training':
            lab.write('cct_mm/models/net.py', 'width = 3\n')

    lab.run(lab.grid(), on_tick=on_tick)
    assert result(lab, 'cct_seed0')['changed_while_running'] == ['code']


def test_a_missing_list_is_named_before_anything_is_started(lab):
    (lab.root / 'data/toy/train.txt').unlink()
    with pytest.raises(GridError, match='ann_file data/toy/train.txt does not exist'):
        lab.run(lab.grid())
    assert not list(lab.folder.glob('*/train.log'))


def test_two_runners_do_not_share_a_folder(lab):
    nested = []

    def on_tick(jobs):
        if not nested:
            with pytest.raises(GridError, match='in use by another') as error:
                lab.run(lab.grid())
            nested.append(error)

    lab.run(lab.grid(), on_tick=on_tick)
    assert nested


def test_gpus_are_dealt_out_in_turn(lab, monkeypatch):
    monkeypatch.setattr(runner, 'visible_gpus', lambda: ['4', '7'])
    monkeypatch.setattr(runner, 'describe_machine', lambda gpu: {'gpu': gpu})
    lab.change('stand_in/train.py', "'threads',", "'gpu', os.environ['CUDA_VISIBLE_DEVICES'],")
    lab.run(lab.grid(), jobs=None)
    used = [(lab.folder / f'{run.name}/train.log').read_text()[:5] for run in lab.grid().runs[:2]]
    assert used == ['gpu 4', 'gpu 7']


class TestCommand:
    @pytest.fixture
    def command(self, lab, monkeypatch, capsys):
        tool = runpy.run_path(str(ROOT / 'tools' / 'run_experiments.py'))
        main = tool['main']
        commands = {key: lab.run.keywords[key] for key in ('train_command', 'test_command')}
        monkeypatch.setattr(screen, 'run_grid', partial(screen.run_grid, **commands))
        # What runpy returns is a copy; the function looks its names up here.
        main.__globals__['ROOT'] = lab.root

        def call(*arguments):
            line = ['run_experiments.py', 'grid.yaml', '--work-dir', 'work', *arguments]
            monkeypatch.setattr(sys, 'argv', line)
            return main(), capsys.readouterr()

        return call

    def test_ends_with_the_table_and_where_it_is(self, lab, command):
        code, output = command()
        assert code == 0
        assert (lab.folder / 'table.md').read_text() in output.out
        assert 'Table: work/toy/table.md' in output.out
        assert '4 of 4 runs done' in output.err
        assert command('--table-only')[0] == 0

    def test_shows_the_end_of_the_log_of_a_failed_run(self, lab, command):
        lab.change('configs/cct.py', 'failing_seeds = []', 'failing_seeds = [0]')
        code, output = command()
        assert code == 1
        assert 'Failed: cct_seed0' in output.out
        assert '| line 39' in output.err
        assert '| line 25' not in output.err
        assert '| the loss is not finite' in output.err

    def test_shows_a_live_table_on_a_terminal(self, lab, command, monkeypatch):
        terminal = partial(screen.Console, force_terminal=True, width=120)
        monkeypatch.setattr(screen, 'Console', terminal)
        _, output = command()
        assert '4 of 4 runs done' in output.err
        assert 'supervised_seed1' in output.err
        assert '6/6' in output.err

    def test_says_where_an_interrupted_grid_is(self, lab, command, monkeypatch):
        lab.change('configs/cct.py', 'pause = 0.0', 'pause = 60')
        shown = screen.Display.__call__

        def show(display, jobs):
            shown(display, jobs)
            if any((lab.folder / job.run.name / 'train.log').is_file() for job in jobs):
                os.kill(os.getpid(), signal.SIGINT)

        monkeypatch.setattr(screen.Display, '__call__', show)
        code, output = command()
        assert code == 130
        assert 'work/toy' in output.err
        assert 'the same command goes on' in output.err

    def test_keeps_the_table_of_a_split_apart(self, lab, command):
        command('--split', 'val')
        assert [path.name for path in lab.folder.glob('*.md')] == ['table_val.md']

    def test_writes_a_record_with_all_seeds(self, lab, command):
        lab.change('configs/cct.py', 'failing_seeds = []', 'failing_seeds = [0]')
        command('--record', 'records/toy.json')
        record = json.loads(Path('records/toy.json').read_text())
        assert record['command'] == (
            'python tools/run_experiments.py grid.yaml --split test --work-dir work'
        )
        supervised, cct = record['rows']
        # The stand-in of tools/test.py reports 50 or 52 plus the seed; sky is 1 more, car is nan.
        assert supervised['mIoU'] == {'0': 50.0, '1': 51.0} and cct['mIoU'] == {'1': 53.0}
        assert supervised['domains'] == {'toy': {'mIoU': supervised['mIoU'], 'IoU': {'sky': 51.5}}}
        assert supervised['iterations'] == 6 and record['baseline'] == 'supervised'
        assert 'out_of_date' not in record
        lab.change('configs/cct.py', 'channels=8', 'channels=9')
        command('--table-only', '--record', 'records/toy.json')
        (line,) = json.loads(Path('records/toy.json').read_text())['out_of_date']
        assert line.startswith('cct_seed1: config')

    def test_refuses_with_code_2(self, lab, command):
        code, output = command('--table-only')
        assert code == 2
        assert 'leave out --table-only' in output.err

    def test_dry_run_writes_nothing_and_measures_what_is_not_known(self, lab, command, capsys):
        lab.write('tools/train.py', (lab.root / 'stand_in/train.py').read_text())
        before = sorted(lab.root.rglob('*'))
        code, output = command('--dry-run', '--jobs', '2')
        assert code == 0
        assert sorted(lab.root.rglob('*')) == before
        # The stand-in says that an iteration takes half a second, 4 runs have 6 each.
        assert '4 of 4 runs to do' in output.out
        assert '| cct_seed1 | to be trained | 6 | 0.5 | measured | 0:00:03 |' in output.out
        assert 'About 0:00:12 of training, 0:00:06 with 2 at a time' in output.out

    def test_other_machines_carry_what_they_carry(self, lab, command):
        with pytest.raises(SystemExit):
            command('--launcher', 'srun -n1')


class TestDamagedCheckpoint:
    """What a full disk or a copy that was cut off leaves of ``iter_6.pth``, the last one."""

    @pytest.fixture
    def train_dir(self, lab):
        lab.run(lab.grid())
        for record in lab.folder.glob('*/result.json'):
            record.unlink()
        return lab.folder / 'supervised_seed0' / 'train'

    def test_is_trained_again_from_the_one_before_and_not_evaluated_early(self, lab, train_dir):
        (train_dir / 'iter_6.pth').write_bytes(b'')
        (train_dir / 'last_checkpoint').write_text('iter_4.pth')
        jobs = lab.run(lab.grid())
        assert {job.status for job in jobs} == {'done'}
        assert all('iter_6.pth' in job.record['commands']['test'] for job in jobs)
        log = (train_dir.parent / 'train.log').read_text()
        assert log.count('from 4') == 1

    @pytest.mark.parametrize('trained', [True, False])
    def test_where_none_is_whole_is_named(self, lab, train_dir, trained):
        for path in train_dir.glob('*.pth'):
            path.write_bytes(b'')
        state = train_dir.parent / 'state.json'
        state.write_text(json.dumps({**json.loads(state.read_text()), 'trained': trained}))
        failed = [job for job in lab.run(lab.grid()) if job.status == 'failed']
        assert [job.run.name for job in failed] == [train_dir.parent.name]
        assert 'has no whole checkpoint' in failed[0].error
        assert 'move them away' in failed[0].error
