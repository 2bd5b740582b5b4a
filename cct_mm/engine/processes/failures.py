"""Explain errors that a data loader's workers or other processes have caused."""

import re
import signal
import socket
import sys
import threading
import time
from types import TracebackType

from torch import distributed
from torch.utils.data.dataloader import _BaseDataLoaderIter

PATIENCE = 5
"""Seconds that the other processes have to report that they have failed too."""

KILLED = r'killed by signal: (?!Bus)|DataLoader worker .* exited unexpectedly'

LOADER_FAILURES = {
    r'killed by signal: Bus error|out of shared memory': (
        'a worker of the data loader has found no shared memory left: free some (df -h /dev/shm), '
        'give a container more (docker run --shm-size=8g), or lower num_workers of the dataloader'
    ),
    KILLED: (
        'a worker of the data loader is gone. After signal Killed that is most likely the kernel, '
        'out of memory (look at dmesg): lower num_workers or batch_size of the dataloader'
    ),
    r'DataLoader timed out': (
        'the workers of the data loader gave nothing in that time: is a file system of the images '
        "dead or very slow? The limit in seconds is the dataloader's timeout, for example "
        '--cfg-options train_dataloader.timeout=900; 0 waits forever'
    ),
}
"""Patterns of the errors of :class:`torch.utils.data.DataLoader`, and what to do about each."""

OF_OTHERS = r'gloo|Connection (reset|closed)|NCCL|ProcessGroup|TCPStore|timed out|Timed out'
"""Pattern of the errors of torch.distributed that another process or the network has caused."""


def explain_failures() -> None:
    """Print an explanation after the traceback of each uncaught error that has one."""
    sys.excepthook = _report


def explain(error: BaseException) -> str | None:
    """Return what to do about an error, or None if it is neither of a loader nor of processes.

    Args:
        error: The error of this process. If others have caused it, waiting for their reports takes
            up to :data:`PATIENCE` seconds.
    """
    text = f'{type(error).__name__}: {error}'
    # Only the cause may name the signal that has killed a worker.
    with_cause = f'{text}\n{error.__cause__ or error.__context__ or ""}'
    for pattern, sentence in LOADER_FAILURES.items():
        if re.search(pattern, with_cause):
            return sentence
    if dead := _dead_worker(error):
        return f'DataLoader {dead}: {LOADER_FAILURES[KILLED]}'
    joined = distributed.is_available() and distributed.is_initialized()
    if joined and distributed.get_world_size() > 1:
        return _explain_with_others(text)
    return None


def _dead_worker(error: BaseException) -> str | None:
    """Name a dead worker of the data loader that an error comes from.

    If a worker dies while the loader takes over its tensors, the loader raises
    ConnectionResetError, EOFError or FileNotFoundError.
    """
    trace = error.__traceback__
    while trace is not None:
        loader = trace.tb_frame.f_locals.get('self')
        if isinstance(loader, _BaseDataLoaderIter):
            for worker in getattr(loader, '_workers', []):
                # A dead worker may not be reaped yet.
                worker.join(0.1)
                if worker.exitcode is not None and worker.exitcode < 0:
                    sign = signal.strsignal(-worker.exitcode)
                    return f'worker (pid {worker.pid}) is killed by signal: {sign}'
        trace = trace.tb_next
    return None


def _report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.__excepthook__(kind, error, trace)
    if issubclass(kind, Exception) and (sentence := explain(error)):
        print(sentence, file=sys.stderr, flush=True)


def _explain_with_others(text: str) -> str | None:
    """Tell the other processes of this failure, and say which of them have caused it."""
    rank, world_size = distributed.get_rank(), distributed.get_world_size()
    of_others = re.search(OF_OTHERS, text) is not None
    others = [other for other in range(world_size) if other != rank]
    heard: dict[int, str] = {}

    def listen() -> None:
        store = distributed.distributed_c10d._get_default_store()
        words = 'waited' if of_others else text.splitlines()[0]
        try:
            store.set(f'failed/{rank}', f'{socket.gethostname()}: {words}')
            deadline = time.monotonic() + PATIENCE
            while of_others and len(heard) < len(others) and time.monotonic() < deadline:
                for other in others:
                    if other not in heard and store.check([f'failed/{other}']):
                        heard[other] = store.get(f'failed/{other}').decode()
                time.sleep(0.1)
        except RuntimeError:
            # The process that held the store has ended.
            return

    # In a thread, because the process that holds the store may hang.
    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    thread.join(PATIENCE + 1)
    if not of_others:
        return None
    silent = [other for other in others if other not in heard]
    failed = [f'rank {r} ({words})' for r, words in heard.items() if not words.endswith('waited')]
    parts = []
    if failed:
        parts.append(f'an error of its own has ended {", ".join(failed)}')
    if silent:
        parts.append(
            f'no answer from rank {", ".join(map(str, silent))}: dead, hung, or cut off by the '
            'network'
        )
    return (
        f'rank {rank} on {socket.gethostname()} has waited for the other processes and ends: '
        f'{"; ".join(parts) or "all answer, so they wait for different operations"}. The limit in '
        'seconds is env_cfg.dist_cfg.timeout. Go on from the last checkpoint with --resume'
    )
