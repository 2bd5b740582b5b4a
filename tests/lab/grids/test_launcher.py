"""A grid on several machines, by a program that stands in for srun."""

import json
import os
import signal

import pytest

from cct_mm.lab.grids import GridError

OF_A_MACHINE = ('train_seconds', 'machine', 'sessions')


def results(lab):
    """What the records say, apart from where and how fast it was."""
    records = [json.loads(path.read_text()) for path in sorted(lab.folder.glob('*/result.json'))]
    return [{k: v for k, v in one.items() if k not in OF_A_MACHINE} for one in records]


def hosts(lab):
    """Run -> the machine that it was trained on."""
    files = lab.folder.glob('*/machine_train.json')
    return {file.parent.name: json.loads(file.read_text())['host'] for file in files}


@pytest.fixture
def local(lab):
    """The results of the grid on this machine alone, moved aside."""
    lab.run(lab.grid())
    found = results(lab)
    lab.folder.rename(lab.root / 'local')
    return found


def test_results_are_those_of_a_local_run(lab, srun, local):
    jobs = lab.run(lab.grid(), launcher=srun)
    assert [job.status for job in jobs] == ['done'] * 4
    assert results(lab) == local
    assert set(hosts(lab).values()) == {'node1', 'node2'}
    for job in jobs:
        machine = job.record['machine']
        assert machine['host'] == hosts(lab)[job.run.name]
        assert machine['torch'] and machine['cpu'] and machine['runs_at_a_time'] == 2


def test_an_interrupted_grid_leaves_no_process_and_resumes(lab, srun, local):
    lab.write('hold', 'the stand-in waits at its first checkpoint as long as this is there')

    def on_tick(jobs):
        if len(list(lab.folder.glob('*/train/last_checkpoint'))) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        lab.run(lab.grid(), on_tick=on_tick, launcher=srun)
    # The task ends with srun, not by the loss of it: it would wait as long as `hold` is there.
    assert not [name for name in os.listdir('/proc') if name.isdigit() and works_in(lab, name)]
    assert len(hosts(lab)) == 2
    (lab.root / 'hold').unlink()
    jobs = lab.run(lab.grid(), launcher=srun)
    assert sorted(job.record['sessions'] for job in jobs) == [1, 1, 2, 2]
    assert results(lab) == local


def works_in(lab, process):
    """Whether a process other than this one is in the folder of the grid."""
    try:
        folder = os.readlink(f'/proc/{process}/cwd')
    except OSError:
        return False
    return folder == str(lab.root) and int(process) != os.getpid()


def test_a_failing_node_is_named_and_the_next_call_completes_the_grid(lab, srun, local):
    lab.write('stand_in/broken', 'node2')
    lab.change('stand_in/train.py', "settings.get('failing_nodes', [])", 'open(BROKEN).read()')
    lab.change('stand_in/train.py', 'import json', "BROKEN = 'stand_in/broken'\nimport json")
    jobs = lab.run(lab.grid(), launcher=srun)
    failed = [job for job in jobs if job.status == 'failed']
    assert failed and len(failed) < 4
    for job in failed:
        assert hosts(lab)[job.run.name] == 'node2'
        assert 'tools/train.py on node2 ended with code 137 (signal 9 is often' in job.error
        assert 'srun: error: node2' in job.log.read_text()
    lab.write('stand_in/broken', 'none')
    lab.run(lab.grid(), launcher=srun)
    assert results(lab) == local


def test_what_the_launcher_itself_refuses_is_no_fault_of_a_run(lab, srun):
    jobs = lab.run(lab.grid(), launcher=[*srun, '--partition=cpu'])
    assert {job.status for job in jobs} == {'failed'}
    assert 'srun, before it began tools/train.py, ended with code 2' in jobs[0].error
    assert 'correct --launcher' in jobs[0].error
    assert 'invalid choice' in jobs[0].log.read_text()


def test_a_launcher_that_is_not_there_is_named_before_anything_is_started(lab):
    with pytest.raises(GridError, match="no program 'sruhn' here"):
        lab.run(lab.grid(), launcher=['sruhn', '-n1'])
    assert not lab.folder.exists()
