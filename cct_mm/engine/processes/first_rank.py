"""Let one process work while all others wait, however long it takes."""

import time
from collections.abc import Callable
from typing import TypeVar

from mmengine.dist import broadcast_object_list, get_rank, get_world_size

SECONDS_BETWEEN_SIGNS = 5.0
"""Seconds between two signs of life; far less than any timeout of the process group."""

Result = TypeVar('Result')


def on_first_rank(work: Callable[[Callable[[], None]], Result]) -> Result:
    """Do something on rank 0 only, and return its result on every rank.

    The other ranks wait at broadcasts, which have a timeout. Rank 0 therefore sends a sign of life
    every few seconds, so that only a dead rank 0 runs into the timeout.

    Args:
        work: Function that is given another function, which it has to call every few seconds.

    Raises:
        RuntimeError: If ``work`` raises; rank 0 itself raises the exception of ``work``.
    """
    if get_world_size() == 1:
        return work(lambda: None)
    if get_rank() > 0:
        answer = 'working', None
        while answer[0] == 'working':
            answer = _broadcast(None)
        if answer[0] == 'failed':
            raise RuntimeError(f'rank 0 has failed: {answer[1]}')
        return answer[1]
    last = time.monotonic()

    def beat() -> None:
        nonlocal last
        if time.monotonic() - last > SECONDS_BETWEEN_SIGNS:
            _broadcast(('working', None))
            last = time.monotonic()

    try:
        result = work(beat)
    except Exception as error:
        _broadcast(('failed', str(error) or type(error).__name__))
        raise
    _broadcast(('done', result))
    return result


def _broadcast(content):
    box = [content]
    broadcast_object_list(box, src=0)
    return box[0]
