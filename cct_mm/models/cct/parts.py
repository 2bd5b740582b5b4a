"""Parts of a group of decoders: those that are projected and pulled back by one computation."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .perturbations import Context, Guidance, Perturbation
from .perturbations.numbers import Request, StepKey


@dataclass
class Part:
    """Decoders beside each other whose perturbations have one algebraic form.

    Args:
        decoders: Their places in the group.
        perturbation: A perturbation of that form.
        state: What their perturbations have drawn; its first axis is the decoder.
    """

    decoders: slice
    perturbation: Perturbation
    state: Any


def draw_parts(
    perturbations: Sequence[Perturbation],
    index: Tensor,
    z: Tensor,
    first: Tensor,
    guidance: Guidance,
    key: StepKey,
    kl_gradient: Callable[[slice], Callable[[Tensor, bool], Tensor]],
    copies: int | None,
) -> list[Part]:
    """Let the perturbations of a group draw, and put those of one form together.

    Args:
        perturbations: One for each decoder of the group.
        index: The decoders, for the keys of their random numbers.
        z: The encoder's output.
        first: The decoders' first layers.
        guidance: See ``Context``.
        key: On what the random numbers depend.
        kl_gradient: Returns ``Context.kl_gradient`` of some decoders of the group.
        copies: The largest part whose projection makes copies of z; None sets no bound.

    Shape:
        - index: [G]
        - z: [B, D, h, w]
        - first: [G, c, D]
    """
    runs = list(runs_of(perturbations))
    numbers = _draw_numbers(runs, index, z, first, key)
    parts = []
    for (run, perturbation), drawn in zip(runs, numbers, strict=True):
        for own in cut(run, copies if perturbation.copies_z else None):
            of_own = drawn and drawn.of(slice(own.start - run.start, own.stop - run.start))
            context = Context(z, first[own], guidance, kl_gradient(own), of_own)
            parts.append(Part(own, perturbation, perturbation.draw(context)))
    by_form = itertools.groupby(parts, lambda p: (p.perturbation.form, p.perturbation.copies_z))
    return [
        part
        for (_, copies_z), own in by_form
        for part in (own if copies_z else [join(list(own))])
    ]


def runs_of(perturbations: Sequence[Perturbation]) -> list[tuple[slice, Perturbation]]:
    """Return each run of decoders that have the same perturbation."""
    runs, start = [], 0
    for _, run in itertools.groupby(perturbations, id):
        run = list(run)
        runs.append((slice(start, start + len(run)), run[0]))
        start += len(run)
    return runs


def cut(run: slice, most: int | None) -> list[slice]:
    """Cut a run into pieces of at most ``most`` decoders; None leaves it whole."""
    step = most or run.stop - run.start
    return [slice(i, min(i + step, run.stop)) for i in range(run.start, run.stop, step)]


def join(parts: list[Part]) -> Part:
    """Return several parts of one form as one."""
    decoders = slice(parts[0].decoders.start, parts[-1].decoders.stop)
    counts = [part.decoders.stop - part.decoders.start for part in parts]
    state = join_states([part.state for part in parts], counts)
    return Part(decoders, parts[0].perturbation, state)


def join_states(states: Sequence[Any], counts: Sequence[int]) -> Any:
    """Return the states of several perturbations of one form, for so many decoders each, as one."""
    if len(states) == 1:
        return states[0]
    if isinstance(states[0], tuple):
        return tuple(join_states(entries, counts) for entries in zip(*states, strict=True))
    # What all decoders of a perturbation share has one entry.
    expanded = [
        state.expand(count, *state.shape[1:]) for state, count in zip(states, counts, strict=True)
    ]
    return torch.cat(expanded)


def _draw_numbers(
    runs: Sequence[tuple[slice, Perturbation]],
    index: Tensor,
    z: Tensor,
    first: Tensor,
    key: StepKey,
) -> list:
    """Return the numbers of each run, None where it asks for none."""
    shapes = [perturbation.numbers(z, first[run]) for run, perturbation in runs]
    requests = [
        Request(index[run], shape, perturbation.shared)
        for (run, perturbation), shape in zip(runs, shapes, strict=True)
        if shape is not None
    ]
    drawn = iter(key.draw(requests))
    return [None if shape is None else next(drawn) for shape in shapes]
