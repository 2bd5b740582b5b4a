"""Measure memory, time and counts of groups of cases."""

import argparse
from collections.abc import Iterable, Sequence

from . import report
from .cases import Case, Group, Work
from .counts import count_work, in_words
from .memory import measure_memory, memory_in_fresh_process
from .report import say
from .timing import time_in_turns


def measure_groups(
    args: argparse.Namespace,
    program: Sequence[str],
    groups: Sequence[Group],
    figures: dict[str, list],
) -> None:
    """Measure groups of cases, and say each figure as soon as it is known.

    Args:
        args: The parsed command line; ``only`` says what is measured.
        program: The command line as it was given, with the interpreter; a process with the further
            arguments ``--memory-of NAME`` measures the memory of that case.
        groups: What to measure.
        figures: Gets ``results`` with one entry for each case, and ``ratios`` with one for each
            pair. If the work is interrupted, what is known by then is there.
    """
    for group in groups:
        measure_group(args, program, group, figures)
    # Last, because a profiler that has been used may slow down what comes after it.
    for group in groups:
        for case in group.cases:
            count_case(args, case, figures)


def measure_group(
    args: argparse.Namespace, program: Sequence[str], group: Group, figures: dict[str, list]
) -> None:
    """Measure memory and time of a group, see :func:`measure_groups`."""
    works: dict[str, Work] = {}
    try:
        if 'memory' in args.only:
            for case in group.cases:
                work = _add_memory(args, program, case, figures)
                if work and 'time' in args.only:
                    works[case.name] = work
        if 'time' in args.only:
            for case in group.cases:
                works[case.name] = works.get(case.name) or case.build()
            _add_times(args, group, works, figures)
    finally:
        known = {entry['case']: entry for entry in figures['results']}
        figures['ratios'] += [
            report.ratio(known[one], known[other])
            for one, other in group.ratios
            if one in known and other in known
        ]


def count_case(args: argparse.Namespace, case: Case, figures: dict[str, list]) -> None:
    """Count what a case launches, see :func:`measure_groups`."""
    if 'counts' not in args.only:
        return
    counts = count_work(case.build(), args.device, args.seed)
    if counts:
        _entry(case, figures)['counts'] = counts
        say(f'{case.name}: {in_words(counts)}')


def _entry(case: Case, figures: dict[str, list]) -> dict:
    """Return the entry of a case, which is made with its first figure."""
    for entry in figures['results']:
        if entry['case'] == case.name:
            return entry
    figures['results'].append({'case': case.name, **case.facts})
    return figures['results'][-1]


def _add_memory(
    args: argparse.Namespace, program: Sequence[str], case: Case, figures: dict[str, list]
) -> Work | None:
    """Measure the memory of a case; return what was built for it in this process."""
    work = None
    if args.device.type == 'cuda':
        memory, work = measure_memory(case, args.device, args.seed)
    else:
        # While this process leaves room: it has not built the group's models yet.
        memory = memory_in_fresh_process(case.name, [*program, '--memory-of', case.name])
    _entry(case, figures)['memory'] = memory
    say(f'{case.name}: {memory["bytes"] / 2**20:.0f} MiB')
    return work


def _add_times(
    args: argparse.Namespace, group: Group, works: dict[str, Work], figures: dict[str, list]
) -> None:
    seconds: dict[str, list[float]] = {name: [] for name in works}
    losses: dict[str, float] = {}
    try:
        for timing in time_in_turns(works, args.device, args.warmup + args.repeats, args.seed):
            turn = timing.turn - args.warmup + 1
            count = f'{turn} of {args.repeats}' if turn > 0 else 'warm-up'
            if turn > 0:
                seconds[timing.name].append(timing.seconds)
            say(f'{timing.name}: {timing.seconds * 1000:.1f} ms ({count})')
            if timing.name not in losses:
                losses[timing.name] = timing.loss
                check_same_loss(losses, group.same_loss)
    finally:
        for case in group.cases:
            if seconds[case.name]:
                entry = _entry(case, figures)
                entry |= report.timed(seconds[case.name], case.images)
                entry['loss'] = losses[case.name]


def check_same_loss(losses: dict[str, float], pairs: Iterable[tuple[str, str]]) -> None:
    """Make sure that cases compute the same before their costs are compared.

    Args:
        losses: Those that are known.
        pairs: Names of cases.

    Raises:
        ValueError: They do not.
    """
    for one, other in pairs:
        if one not in losses or other not in losses:
            continue
        if not abs(losses[one] - losses[other]) <= 1e-3 * abs(losses[other]):
            raise ValueError(
                f'"{one}" and "{other}" computed the losses {losses[one]:.6g} and '
                f'{losses[other]:.6g}, expected the same to rounding: their costs cannot be '
                'compared before the computation is right'
            )
