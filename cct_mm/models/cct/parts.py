"""Parts of a group of decoders: those that are projected and pulled back by one computation."""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .perturbations import Context, Guidance, Perturbation
from .perturbations.numbers import Numbers, Request, StepKey, Undrawn


@dataclass
class Part:
    """Decoders whose perturbations have one algebraic form.

    Args:
        runs: Their places in the group, in rising order.
        perturbation: A perturbation of that form.
        state: What their perturbations have drawn; its first axis is the decoder.
    """

    runs: list[slice]
    perturbation: Perturbation
    state: Any

    def take(self, of_group: Tensor) -> Tensor:
        """Return the part's entries of what belongs to the group, [G, ...]."""
        own = [of_group[run] for run in self.runs]
        return own[0] if len(own) == 1 else torch.cat(own)


def assemble(parts: Sequence[Part], of_parts: Sequence[Tensor]) -> Tensor:
    """Return what belongs to the group, [G, ...], from the entries of its parts."""
    runs = [
        (run.start, own)
        for part, entries in zip(parts, of_parts, strict=True)
        for run, own in zip(
            part.runs, entries.split([run.stop - run.start for run in part.runs]), strict=True
        )
    ]
    return torch.cat([own for _, own in sorted(runs, key=lambda run: run[0])])


@dataclass
class Drawing:
    """All that the perturbations of a group draw from.

    Args:
        z: The encoder's output.
        first: The decoders' first layers.
        index: The decoders, for the keys of their random numbers.
        guidance: See ``Context``.
        key: On what the random numbers depend.
        precision: See ``Plan.precision``.
        kl_gradient: Returns ``Context.kl_gradient`` of some decoders of the group, from z, their
            first layers and their places in the group.

    Shape:
        - z: [B, D, h, w]
        - first: [G, c, D]
        - index: [G]
    """

    z: Tensor
    first: Tensor
    index: Tensor
    guidance: Guidance
    key: StepKey
    precision: str | None
    kl_gradient: Callable[[Tensor, Tensor, slice], Callable[[Tensor, bool], Tensor]]

    def parts(self, perturbations: Sequence[Perturbation], copies: int | None) -> list[Part]:
        """Let the perturbations draw, and put those of one form together.

        Args:
            perturbations: One for each decoder of the group.
            copies: The largest part whose projection makes copies of z; None sets no bound.
        """
        drawn = list(self._drawn(runs_of(perturbations), copies))
        parts = [part for part in drawn if part.perturbation.copies_z]
        by_form = defaultdict(list)
        for part in drawn:
            if not part.perturbation.copies_z:
                by_form[part.perturbation.form].append(part)
        return parts + [join(own) for own in by_form.values()]

    def _drawn(self, runs: list[tuple[slice, Perturbation]], copies: int | None) -> Iterator[Part]:
        for (run, perturbation), numbers in zip(runs, self._numbers(runs), strict=True):
            for own in cut(run, copies if perturbation.copies_z else None):
                of_own = numbers and numbers.of(slice(own.start - run.start, own.stop - run.start))
                first = self.first[own]
                kl_gradient = self.kl_gradient(self.z, first, own)
                context = Context(self.z, first, self.guidance, kl_gradient, of_own)
                yield Part([own], perturbation, perturbation.draw(context))

    def _numbers(self, runs: list[tuple[slice, Perturbation]]) -> list[Numbers | Undrawn | None]:
        """Return the random numbers of each run, None where it asks for none."""
        numbers, requests = [], {}
        for i, (run, perturbation) in enumerate(runs):
            shape, decoders = perturbation.numbers(self.z, self.first[run]), self.index[run]
            numbers.append(None)
            if self.precision and perturbation.drawn_in_kernels:
                numbers[i] = Undrawn(decoders, self.key, self.precision)
            elif shape is not None:
                requests[i] = Request(decoders, shape, perturbation.shared)
        for i, drawn in zip(requests, self.key.draw(list(requests.values())), strict=True):
            numbers[i] = drawn
        return numbers


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
    runs = [run for part in parts for run in part.runs]
    counts = [run.stop - run.start for run in runs]
    state = join_states([part.state for part in parts], counts)
    return Part(runs, parts[0].perturbation, state)


def join_states(states: Sequence[Any], counts: Sequence[int]) -> Any:
    """Return the states of several perturbations of one form, for so many decoders each, as one."""
    if len(states) == 1:
        return states[0]
    if isinstance(states[0], tuple):
        return tuple(join_states(entries, counts) for entries in zip(*states, strict=True))
    # What decoders, images or positions share has one entry.
    common = torch.broadcast_shapes(*(state.shape[1:] for state in states))
    return torch.cat(
        [state.expand(count, *common) for state, count in zip(states, counts, strict=True)]
    )
