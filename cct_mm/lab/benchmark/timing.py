"""How time is measured.

The cases of a group take turns (A B C A B C ...) after some rounds of warm-up, so that a machine
that slows down meanwhile slows all of them. On a GPU, a time is that between two CUDA events.
"""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from .cases import Work


@contextmanager
def cheap_collection() -> Iterator[None]:
    """Set all present objects aside, so that collecting garbage before a run takes no time.

    A collection that visits the libraries' objects takes half a second.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def seconds_of(run: Callable[[], Tensor], device: torch.device) -> tuple[float, Tensor]:
    """Time one run, with the wall clock on a CPU and with CUDA events on a GPU."""
    if device.type == 'cuda':
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize(device)
        start.record()
        result = run()
        end.record()
        torch.cuda.synchronize(device)
        return start.elapsed_time(end) / 1000, result
    begin = time.perf_counter()
    result = run()
    return time.perf_counter() - begin, result


@dataclass
class Timing:
    """One run of one work.

    Args:
        turn: Number of the round, from 0.
        name: Name of the work.
        seconds: Its time.
        loss: What it returned.
    """

    turn: int
    name: str
    seconds: float
    loss: float


def time_in_turns(
    works: dict[str, Work], device: torch.device, rounds: int, seed: int
) -> Iterator[Timing]:
    """Time works in turns, and yield each time as soon as it is known.

    Args:
        works: By name.
        device: Where they run.
        rounds: How often each of them runs.
        seed: Seeds the global generators before each run, so that a model's dropout repeats itself.
    """
    with cheap_collection():
        for turn in range(rounds):
            for name, work in works.items():
                gc.collect()
                torch.manual_seed(seed)
                seconds, loss = seconds_of(work.run, device)
                yield Timing(turn, name, seconds, loss.item())
