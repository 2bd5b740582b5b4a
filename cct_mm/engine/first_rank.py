"""Work that one process does while all others wait for it, however long it takes."""

import time
from collections.abc import Callable
from typing import TypeVar

from mmengine.dist import broadcast_object_list, get_rank, get_world_size

SECONDS_BETWEEN_SIGNS = 5.0
"""Far less than any timeout of the process group."""

Result = TypeVar('Result')


def on_first_rank(work: Callable[[Callable[[], None]], Result]) -> Result:
    """Do something on rank 0 alone, and return its result on every rank.

    The others wait at broadcasts, which have a timeout. So rank 0 sends a sign of life every few
    seconds, and a rank that has died is still noticed.

    Args:
        work: Gets a function that it has to call at least every few seconds.

    Raises:
        RuntimeError: On the other ranks, if ``work`` raises; on rank 0 its own exception.
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
