"""What protects a grid while it runs: one runner a folder, and signals that wait for their turn."""

import fcntl
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from .grid import GridError


@contextmanager
def locked(folder: Path) -> Iterator[IO]:
    """Hold the folder of a grid for this process and its children."""
    with (folder / '.lock').open('a') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise GridError(
                f'{folder} is in use by another run_experiments.py or by a training that one left '
                f'behind, expected it free: wait for it or end it, or choose another --work-dir'
            ) from None
        yield lock


@contextmanager
def signals_collected() -> Iterator[list[int]]:
    """Collect signals that end a process, instead of raising in the middle of a write."""
    received: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {
        number: signal.signal(number, lambda number, _: received.append(number))
        for number in numbers
    }
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
