"""The aims on a GPU, and whether the figures meet them.

The released code took 154 and 361 ms a step with 30 decoders on an H200 (2 + 2 and 10 + 10 images,
320x320, 21 classes, float32, tensors on the device in), 3.9 and 3.3 times what it took without
decoders. The aim is a third of that. On another card, the plain step of ``plain.py`` times these
factors stands for the released code.
"""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from cct_mm.lab.markdown import markdown_table

FACTORS = (3.9, 3.3)
"""Released code, K = 30 over K = 0, for the first and the second batch."""

H200 = {'none': (39.6, 110.3), 'released': (154.2, 361.5), 'aim': (51.0, 120.0)}
"""Milliseconds on an H200: released code with K = 0 and K = 30, and the aim for K = 30."""

LAUNCHES = 150
LOW = ', bfloat16, channels last'


@dataclass(frozen=True)
class Goal:
    """A figure and its aim.

    Args:
        figure: What is measured.
        value: The figure; None where it is not known.
        limit: The largest value that meets the aim; None where there is no aim.
        digits: Digits after the point.
    """

    figure: str
    value: float | None
    limit: float | None = None
    digits: int = 0

    @property
    def verdict(self) -> str:
        """Whether the aim is met."""
        if self.value is None:
            return 'not measured'
        if self.limit is None:
            return ''
        return 'met' if self.value <= self.limit else 'MISSED'

    @property
    def cells(self) -> list[str]:
        """The line of a table: figure, measured, aim, verdict."""
        value = '' if self.value is None else f'{self.value:.{self.digits}f}'
        limit = '' if self.limit is None else f'<= {self.limit:.{self.digits}f}'
        return [self.figure, value, limit, self.verdict]

    @property
    def line(self) -> str:
        """The same in one line of text."""
        figure, value, limit, verdict = self.cells
        return f'{figure}: {value}' + (f' ({limit}: {verdict})' if limit else '')


def goals_table(judged: Sequence[Goal]) -> str:
    """Return the goals as a Markdown table."""
    return markdown_table(['figure', 'measured', 'aim', ''], [goal.cells for goal in judged])


def goals(
    figures: dict, batches: Sequence[tuple[int, int]], decoders: tuple[int, int]
) -> list[Goal]:
    """Return all goals, with what is known of them.

    Args:
        figures: ``results``, ``ratios`` and ``machine``, of the cases of ``targets.py``.
        batches: Labeled and unlabeled images of the two batches.
        decoders: The usual number of decoders, and a large one.
    """
    gpu = figures['machine']['gpu']
    results = {entry['case']: entry for entry in figures['results']}
    ratios = {(entry['of'], entry['over']): entry for entry in figures['ratios']}
    judged = []
    for i, (labeled, unlabeled) in enumerate(batches):
        name = f'{labeled} + {unlabeled}'
        judged += _ratio_goals(name, decoders[0], ratios)
        judged += _time_goals(name, i, decoders[0], results, gpu)
        judged += _step_counts(name, results)
    return judged + _launch_goals(batches, decoders, results, gpu)


def _ratio_goals(batch: str, count: int, ratios: dict) -> list[Goal]:
    judged = []
    for low, precision in (('', 'float32'), (LOW, 'bfloat16, channels last')):
        zero, fused, reference, kernels = (
            f'{batch}, {path}{low}'
            for path in ('K = 0', 'fused', 'reference', 'triton-tf32' if low else 'triton')
        )
        title, more = f'{batch}, {precision}', ratios.get((reference, fused), {})
        for name, path in ((fused, 'fused'), (kernels, 'triton')):
            entry = ratios.get((name, zero), {})
            judged += [
                Goal(f'{title}: K = {count} over K = 0, {path}, time', _median(entry), 1.10, 3),
                Goal(
                    f'{title}: K = {count} over K = 0, {path}, memory', entry.get('memory'), 1.05, 3
                ),
            ]
        judged += [
            Goal(f'{title}: reference over fused, time', _median(more), None, 2),
            Goal(f'{title}: reference over fused, memory', more.get('memory'), None, 2),
        ]
    return judged


def _time_goals(batch: str, i: int, count: int, results: dict, gpu: str | None) -> list[Goal]:
    def milliseconds(name: str) -> float | None:
        seconds = results.get(f'{batch}, {name}', {}).get('seconds')
        return seconds and 1000 * seconds['median']

    plain, zero, fused = (milliseconds(name) for name in ('plain', 'K = 0', 'fused'))
    others = (
        milliseconds(f'fused{LOW}'),
        milliseconds('triton'),
        milliseconds(f'triton-tf32{LOW}'),
    )
    known = [time for time in (fused, *others) if time is not None]
    if re.search(r'\bH200\b', gpu or ''):
        none, released, aim = (H200[name][i] for name in ('none', 'released', 'aim'))
    else:
        none, released = plain, plain and FACTORS[i] * plain
        aim = released and released / 3
    faster = released / fused if released and fused else None
    return [
        Goal(f'{batch}: plain step, ms', plain, None, 1),
        # Only the first batch has an aim without decoders.
        Goal(f'{batch}, float32: K = 0, ms', zero, None if i else none, 1),
        Goal(f'{batch}, float32: K = {count}, ms', fused, None, 1),
        Goal(f'{batch}, best settings: K = {count}, ms', min(known, default=None), aim, 1),
        Goal(f'{batch}, float32: released code over K = {count}, time', faster, None, 2),
    ]


def _step_counts(batch: str, results: dict) -> list[Goal]:
    counts = results.get(f'{batch}, fused', {}).get('counts', {}).get('run', {})
    return [
        Goal(f'{batch}, whole step, float32: kernels', counts.get('kernels')),
        Goal(f'{batch}, whole step, float32: host waits', counts.get('waits')),
    ]


def _launch_goals(
    batches: Sequence[tuple[int, int]],
    decoders: tuple[int, int],
    results: dict,
    gpu: str | None,
) -> list[Goal]:
    judged = []
    for path in ('fused', 'triton') if gpu else ('fused',):
        counts = {}
        for (labeled, unlabeled), count in itertools.product(batches, decoders):
            batch = f'{labeled} + {unlabeled}'
            entry = results.get(f'{batch}, decoders alone, {path}, K = {count}', {})
            auxiliary = entry.get('counts', {}).get('auxiliary', {})
            counts[f'{batch}, auxiliary part, {path}, K = {count}'] = auxiliary
        # A CPU has a plan of its own, chunk by chunk, which is judged by its time.
        limit = LAUNCHES if gpu else None
        for what in ('kernels', 'calls'):
            values = {title: own.get(what) for title, own in counts.items()}
            judged += [Goal(f'{title}: {what}', value, limit) for title, value in values.items()]
            title = f'auxiliary part, {path}, all of them: {what}, most - fewest'
            judged.append(_spread(title, values, limit))
        judged += [Goal(f'{title}: host waits', _waits(own), 0) for title, own in counts.items()]
    return judged


def _spread(title: str, values: dict[str, int | None], limit: float | None) -> Goal:
    numbers = list(values.values())
    spread = None if None in numbers else max(numbers) - min(numbers)
    return Goal(title, spread, None if limit is None else 0)


def _waits(counts: dict) -> int | None:
    """Return the waits that were noted, at least 1 where waiting as an error did raise."""
    if 'waits' not in counts:
        return None
    return max(counts['waits'], 0 if counts['never_waits'] else 1)


def _median(ratio: dict) -> float | None:
    return ratio.get('time', {}).get('median')
