"""Processes beside this one, for work on many files."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TypeVar

import cv2

FEW = 64
"""Files for which it isn't worth while to start processes."""

CHUNK = 16
"""Files that a process takes at a time."""

Item = TypeVar('Item')
Result = TypeVar('Result')


def map_files(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int
) -> Iterator[Result]:
    """Yield ``function(item)`` for each item, in order, from several processes.

    Args:
        function: What is done with an item; it, the item and the result can be pickled.
        items: Files, or what stands for them.
        workers: Number of processes, >= 1. With one, or few items, this process does it all.

    Raises:
        RuntimeError: If a process dies.
    """
    if workers == 1 or len(items) <= FEW:
        yield from map(function, items)
        return
    with processes(workers) as pool:
        try:
            yield from pool.map(function, items, chunksize=CHUNK)
        except BrokenProcessPool:
            raise RuntimeError(
                'a process that reads files has died, perhaps for want of memory; start again, '
                'with fewer --workers where there is such an option'
            ) from None


def core_count() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


@contextmanager
def processes(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Start worker processes by forking this one; they end with it, however it ends.

    Start them before a network is built: a forked process keeps a copy of all memory that this one
    has at that moment.

    Args:
        workers: Number of processes, >= 1.

    Yields:
        The pool to submit work to.
    """
    # A forked process has no OpenCV threads, but believes that it has, and would wait for them for
    # ever. So this process stops them for as long as there are workers.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    pool = ProcessPoolExecutor(
        workers, get_context('fork'), initializer=_follow, initargs=(os.getpid(),)
    )
    try:
        # A process is only started when there is work for it.
        wait([pool.submit(time.sleep, 0.05) for _ in range(workers)])
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        cv2.setNumThreads(threads)


def _follow(parent: int) -> None:
    """End this process when its parent is gone, killed processes included."""
    leave_interrupts(0)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def leave_interrupts(worker: int) -> None:
    """Leave Ctrl-C to the process that started this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
