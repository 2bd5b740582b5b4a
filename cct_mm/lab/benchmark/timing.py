"""How time is measured.

The cases of a group take turns (A B C A B C ...) after some rounds of warm-up, so that a machine
that slows down meanwhile slows all of them. On a GPU, a time is that between two CUDA events.
"""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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


def measure_times(
    works: dict[str, Work],
    device: torch.device,
    warmup: int,
    repeats: int,
    seed: int,
    advance: Callable[[], None] = lambda: None,
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Time works in turns.

    Args:
        works: By name.
        device: Where they run.
        warmup: Number of rounds that do not count.
        repeats: Number of rounds that count.
        seed: Seeds the global generators before each run, so that a model's dropout repeats itself.
        advance: Called after each run.

    Returns:
        For each name its seconds in each round, and its loss in the first round.
    """
    times: dict[str, list[float]] = {name: [] for name in works}
    losses: dict[str, float] = {}
    with cheap_collection():
        for turn in range(warmup + repeats):
            for name, work in works.items():
                gc.collect()
                torch.manual_seed(seed)
                seconds, loss = seconds_of(work.run, device)
                losses.setdefault(name, loss.item())
                if turn >= warmup:
                    times[name].append(seconds)
                advance()
    return times, losses
