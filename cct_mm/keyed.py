"""Keyed random numbers: each is a function of its key, never of a stream.

A key names what is drawn: (seed, purpose, iteration, decoder, sample, ...). The same key gives the
same numbers, whatever was drawn before. Results therefore do not depend on the number of loader
workers or ranks, on the order in which decoders are computed, or on where a run was resumed.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from operator import index

import numpy as np
import torch

Part = int | str


def key(*parts: Part) -> int:
    """Hash a sequence of names and numbers to a 63-bit seed.

    Args:
        *parts: What is drawn, e.g. ``key(seed, 'F-Drop', decoder, sample)``. The order counts.

    Returns:
        int: A number in [0, 2^63), the same on every machine and Python version.
    """
    # NumPy's integers give the same key as Python's; `index` refuses a float.
    typed = (f'str:{p}' if isinstance(p, str) else f'int:{index(p)}' for p in parts)
    text = '\x1f'.join(typed)
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), 'big') >> 1


def generator(*parts: Part, device: torch.device | str = 'cpu') -> torch.Generator:
    """Return a fresh generator on ``device``, seeded by the key of ``parts``."""
    return torch.Generator(device=device).manual_seed(key(*parts))


@contextmanager
def global_generators_seeded(*parts: Part) -> Iterator[None]:
    """Seed Python's, NumPy's and PyTorch's (CPU) global generators by a key; restore them after.

    Transforms of mmcv and mmseg draw from them. Inside this context what they draw depends on the
    key alone.
    """
    states = _states()
    seed = key(*parts)
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        _restore(states)


@contextmanager
def global_generators_twice() -> Iterator[Callable[[], None]]:
    """Yield a function that sets the global generators back to where they were at the start.

    What is drawn after its call repeats what was drawn before. On leaving, the generators get the
    state that they had when it was called, so that the repetition leaves no trace.
    """
    start = _states()
    end = None

    def again() -> None:
        nonlocal end
        end = _states()
        _restore(start)

    try:
        yield again
    finally:
        if end is not None:
            _restore(end)


def _states() -> tuple:
    return random.getstate(), np.random.get_state(), torch.get_rng_state()


def _restore(states: tuple) -> None:
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])
