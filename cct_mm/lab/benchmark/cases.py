"""What is measured: cases, in groups that are built together and timed in turns."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass
class Work:
    """Something that is built and can be computed again and again.

    Args:
        run: Computes once and returns the loss without gradient.
        gradient_bytes: Size of the gradients of the decoders' weights that a run makes.
        auxiliary: Prepares the auxiliary decoders' part of a run and returns what computes that
            alone, forward and backward. None where there is no such part (K = 0).
    """

    run: Callable[[], Tensor]
    gradient_bytes: int = 0
    auxiliary: Callable[[], Callable[[], Any]] | None = None


@dataclass
class Case:
    """One line of a table.

    Args:
        name: Unique within the command.
        build: Builds model and inputs; called only when the case is measured.
        images: Images in a run; 0 if images/s make no sense.
        above_bare: Memory is the peak over all runs above what was there before the case was
            built. Otherwise it is the peak of a run above what exists before it: inputs,
            weights, and what libraries keep from the first run, which does not count.
        memory_runs: Runs whose memory is measured.
        facts: What else distinguishes this case; goes into the JSON.
    """

    name: str
    build: Callable[[], Work]
    images: int = 0
    above_bare: bool = False
    memory_runs: int = 3
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass
class Group:
    """Cases that are built together and timed in turns.

    Args:
        cases: The cases.
        ratios: Pairs of names (a, b) whose ratio a / b is reported.
        same_loss: Pairs of names that have to compute the same loss.
    """

    cases: list[Case]
    ratios: list[tuple[str, str]]
    same_loss: list[tuple[str, str]] = field(default_factory=list)


def by_name(groups: Sequence[Group]) -> dict[str, Case]:
    """Return all cases by their names.

    Raises:
        ValueError: One is asked for twice.
    """
    cases = {}
    for case in itertools.chain.from_iterable(group.cases for group in groups):
        if case.name in cases:
            raise ValueError(f'"{case.name}" is asked for twice, expected every case once')
        cases[case.name] = case
    return cases
