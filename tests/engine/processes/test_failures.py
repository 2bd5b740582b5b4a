import os
import signal

import pytest
from torch.utils.data import DataLoader, Dataset

from cct_mm.engine.processes.failures import explain


class Dying(Dataset):
    """A dataset whose worker dies of a signal."""

    def __init__(self, death):
        self.death = death

    def __len__(self):
        return 1

    def __getitem__(self, index):
        os.kill(os.getpid(), self.death)


@pytest.mark.parametrize(
    ('death', 'cause'),
    [(signal.SIGKILL, 'out of memory'), (signal.SIGBUS, 'no shared memory left')],
)
def test_a_dead_worker_of_a_loader_is_explained_by_its_signal(death, cause):
    with pytest.raises(RuntimeError, match='DataLoader worker') as raised:
        next(iter(DataLoader(Dying(death), num_workers=1)))
    assert cause in explain(raised.value)


def test_what_a_dead_worker_leaves_half_done_is_laid_to_its_death():
    loader = iter(DataLoader(Dying(signal.SIGSTOP), num_workers=1))
    (worker,) = loader._workers
    try:
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
    except RuntimeError:
        # PyTorch's handler speaks up as the worker dies.
        pass
    loader._try_get_data = lambda *_: (_ for _ in ()).throw(ConnectionResetError(104, 'reset'))
    with pytest.raises((ConnectionResetError, RuntimeError)) as raised:
        next(loader)
    assert 'out of memory' in explain(raised.value)


def test_an_error_of_the_process_itself_stands_for_itself():
    assert explain(ValueError('Timed out')) is None
    assert explain(ConnectionResetError(104, 'Connection reset by peer')) is None
