"""One process works, however long; the others wait for what it finds."""

import multiprocessing
import time
from datetime import timedelta

import pytest
from torch import distributed

from cct_mm.engine.processes import first_rank
from cct_mm.engine.processes.first_rank import on_first_rank

TIMEOUT = timedelta(seconds=3)


def test_alone_it_is_done_here():
    assert on_first_rank(lambda beat: beat() or 5) == 5


def longer_than_the_timeout(beat):
    for _ in range(12):
        time.sleep(TIMEOUT.total_seconds() / 8)
        beat()
    return ['what rank 0 found']


def failing(beat):
    raise ValueError('the mask is torn')


def run(rank, work, store, answers):
    first_rank.SECONDS_BETWEEN_SIGNS = 0.5
    distributed.init_process_group(
        'gloo', init_method=f'file://{store}', rank=rank, world_size=2, timeout=TIMEOUT
    )
    try:
        if rank == 1:
            work = pytest.fail
        answers.put((rank, on_first_rank(work)))
    except (RuntimeError, ValueError) as error:
        answers.put((rank, f'{type(error).__name__}: {error}'))
    distributed.destroy_process_group()


def both_ranks(work, tmp_path):
    context = multiprocessing.get_context('fork')
    answers = context.Queue()
    arguments = work, tmp_path / 'store', answers
    processes = [context.Process(target=run, args=(rank, *arguments)) for rank in range(2)]
    for process in processes:
        process.start()
    found = dict(answers.get(timeout=120) for _ in processes)
    for process in processes:
        process.join()
    return found


def test_other_ranks_wait_longer_than_a_collective_may_take(tmp_path):
    found = both_ranks(longer_than_the_timeout, tmp_path)
    assert found == {0: ['what rank 0 found'], 1: ['what rank 0 found']}


def test_failure_ends_every_rank(tmp_path):
    found = both_ranks(failing, tmp_path)
    assert found == {
        0: 'ValueError: the mask is torn',
        1: 'RuntimeError: rank 0 has failed: the mask is torn',
    }
