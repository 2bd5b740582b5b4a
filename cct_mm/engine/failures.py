"""What a process says when it ends by an error that is not, or not only, its own."""

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
"""Seconds in which other processes can say that they have failed too."""

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
        "dead or very slow? The limit in seconds is the dataloader's timeout, such as "
        '--cfg-options train_dataloader.timeout=900; 0 waits for ever'
    ),
}
"""What :class:`torch.utils.data.DataLoader` says, as a pattern, and what to do about it."""

OF_OTHERS = r'gloo|Connection (reset|closed)|NCCL|ProcessGroup|TCPStore|timed out|Timed out'
"""Words of torch.distributed where another process is at fault, or the network."""


def explain_failures() -> None:
    """Say after the traceback of an uncaught error what it means for several processes."""
    sys.excepthook = _report


def explain(error: BaseException) -> str | None:
    """Return what to do about an error of a data loader or of other processes, if it is one.

    Args:
        error: Of this process. Where others are at fault it takes up to :data:`PATIENCE` seconds to
            hear from them.
    """
    text = f'{type(error).__name__}: {error}'
    # A worker's signal may stand in the cause alone.
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
    """Say which worker of a data loader is dead, where a loader has stumbled over what it left.

    A worker that dies while the loader takes over its tensors shows as ConnectionResetError,
    EOFError or FileNotFoundError.
    """
    trace = error.__traceback__
    while trace is not None:
        loader = trace.tb_frame.f_locals.get('self')
        if isinstance(loader, _BaseDataLoaderIter):
            for worker in getattr(loader, '_workers', []):
                # What has died may not be reaped yet.
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
    """Tell the others of this failure, and say which of them have not failed by their own word."""
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
            # The store has gone with the process that held it.
            return

    # The process that holds the store may be the one that hangs.
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
