"""Measure time and memory of groups of cases."""

import argparse
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from cct_mm.progress_bar import progress_bar

from . import report
from .cases import Group
from .memory import memory_in_fresh_process
from .timing import measure_times


def report_groups(
    args: argparse.Namespace, program: Sequence[str], groups: Sequence[Group]
) -> dict[str, list]:
    """Measure groups of cases.

    Args:
        args: The parsed command line.
        program: The command line as it was given, with the interpreter; a process with the further
            arguments ``--memory-of NAME`` measures the memory of that case.
        groups: What to measure.

    Returns:
        ``results`` with one entry for each case, and ``ratios`` with one for each pair.
    """
    with_time, with_memory = args.only != 'memory', args.only != 'time'
    count = sum(len(group.cases) for group in groups)
    total = count * (with_time * (args.warmup + args.repeats) + with_memory)
    results, ratios = [], []
    with counter('figures', total) as advance:
        for group in groups:
            entries = {case.name: {'case': case.name, **case.facts} for case in group.cases}
            # First, while this process leaves room: it has not built the group's models yet.
            for case in group.cases if with_memory else ():
                command = [*program, '--memory-of', case.name]
                entries[case.name]['memory'] = memory_in_fresh_process(case.name, command)
                advance()
            if with_time:
                _add_times(entries, group, args, advance)
            results += entries.values()
            ratios += [report.ratio(entries[one], entries[other]) for one, other in group.ratios]
    return {'results': results, 'ratios': ratios}


def _add_times(
    entries: dict[str, dict], group: Group, args: argparse.Namespace, advance: Callable[[], None]
) -> None:
    works = {case.name: case.build() for case in group.cases}
    times, losses = measure_times(works, args.device, args.warmup, args.repeats, args.seed, advance)
    check_same_loss(losses, group.same_loss)
    for case in group.cases:
        entries[case.name].update(report.timed(times[case.name], case.images))
        entries[case.name]['loss'] = losses[case.name]


@contextmanager
def counter(title: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a progress bar on stderr, and yield a function that advances it by one."""
    done = itertools.count(1)
    with progress_bar(title, total, stderr=True) as update:
        yield lambda: update(next(done))


def check_same_loss(losses: dict[str, float], pairs: Iterable[tuple[str, str]]) -> None:
    """Make sure that cases compute the same before their costs are compared.

    Raises:
        ValueError: They do not.
    """
    for one, other in pairs:
        if not abs(losses[one] - losses[other]) <= 1e-3 * abs(losses[other]):
            raise ValueError(
                f'"{one}" and "{other}" computed the losses {losses[one]:.6g} and '
                f'{losses[other]:.6g}, expected the same to rounding: their costs cannot be '
                'compared before the computation is right'
            )
