"""Ramp-up schedules (paper, Section 3.2.2 and Supplement K, Eqs. 16-17), as pure functions.

Each maps ``x = t / T >= 0``, the iteration divided by the ramp-up length, to a share of the final
value in [0, 1].
"""

import math
from collections.abc import Callable
from dataclasses import dataclass


def exp(x: float) -> float:
    """Return Eq. 16: ``min(1, e^(5 (x - 1)))``."""
    # The minimum is taken in the exponent, because far beyond a short ramp e^(5 (x - 1)) overflows.
    return math.exp(5 * (min(x, 1.0) - 1))


def gaussian(x: float) -> float:
    """Return ``e^(-5 (1 - x)^2)``, and 1 from x = 1 on (Section 3.2.2 and the released code)."""
    return math.exp(-5 * (1 - min(x, 1.0)) ** 2)


def linear(x: float) -> float:
    """Return ``min(1, x)``."""
    return min(1.0, x)


def cosine(x: float) -> float:
    """Return half a cosine wave, which rises from 0 at x = 0 to 1 at x = 1."""
    return 0.5 * (1 - math.cos(math.pi * min(x, 1.0)))


def log(x: float) -> float:
    """Return Eq. 17: ``1 - e^(-5 x)``, which rises early and reaches 0.993 at x = 1."""
    return 1 - math.exp(-5 * x)


def log_held(x: float) -> float:
    """Return :func:`log` up to x = 1, where it stays, at 0.993 (the released code)."""
    return log(min(x, 1.0))


SHAPES: dict[str, Callable[[float], float]] = {
    'exp': exp,
    'gaussian': gaussian,
    'linear': linear,
    'cosine': cosine,
    'log': log,
    'log-held': log_held,
}


@dataclass(frozen=True)
class Progress:
    """Where a training run stands.

    Args:
        iteration: The iteration about to be computed, counted from 0.
        max_iters: The number of iterations of the whole run, > 0.
        seed: The run's seed, on which all keyed random numbers depend.
    """

    iteration: int
    max_iters: int
    seed: int


@dataclass(frozen=True)
class RampUp:
    """A value that rises from ``start`` to ``final`` over the first part of training.

    Args:
        final: The value at the end of the ramp, e.g. 30 for lambda_u.
        shape: One of ``exp`` (Eq. 16), ``gaussian``, ``linear``, ``cosine``, ``log`` (Eq. 17),
            ``log-held``.
        length: Ramp-up length T as a share of the training run, in [0, 1]; 0 means no ramp.
        start: The value at the beginning of the ramp, e.g. 1/C for the threshold of ab-CE.

    Raises:
        ValueError: If the shape is unknown or the length is outside [0, 1].
    """

    final: float
    shape: str = 'exp'
    length: float = 0.1
    start: float = 0.0

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise ValueError(
                f'RampUp: unknown shape {self.shape!r}, expected one of {", ".join(SHAPES)}'
            )
        if not 0 <= self.length <= 1:
            raise ValueError(
                f'RampUp: length is {self.length}, expected a share of the training run in [0, 1], '
                'e.g. 0.1 for the first tenth'
            )

    def __call__(self, progress: Progress) -> float:
        """Return the value at ``progress``."""
        length = self.length * progress.max_iters
        share = SHAPES[self.shape](progress.iteration / length) if length > 0 else 1.0
        return self.start + share * (self.final - self.start)
