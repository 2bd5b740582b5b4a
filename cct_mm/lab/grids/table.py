"""The table of a grid: mean and spread over the seeds, and the difference paired by seed."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cct_mm.lab.markdown import markdown_table

from .grid import Grid
from .jobs import Job

DAGGER = '†'
NOTHING = '–'


@dataclass(frozen=True)
class Row:
    """All seeds of one method at one point of its axes.

    Args:
        method: Name of the method.
        axes: The point.
        jobs: Its jobs, one for each seed.
    """

    method: str
    axes: dict[str, Any]
    jobs: tuple[Job, ...]

    @property
    def records(self) -> dict[int, dict]:
        """The records there are, by seed."""
        return {job.run.seed: job.record for job in self.jobs if job.record}

    @property
    def title(self) -> str:
        """Method and point, with a dagger where a result is out of date."""
        point = ', '.join(f'{axis}={value}' for axis, value in self.axes.items())
        return self.method + (f' ({point})' if point else '') + self.mark

    @property
    def mark(self) -> str:
        """A dagger where a result was made with something else than there is now."""
        return f' {DAGGER}' if any(job.record and job.differs for job in self.jobs) else ''


def make_rows(jobs: Iterable[Job]) -> list[Row]:
    """Group jobs by method and point, in the order of the first of each."""
    groups: dict[tuple, list[Job]] = {}
    for job in jobs:
        groups.setdefault((job.run.method, *job.run.axes.items()), []).append(job)
    return [Row(group[0].run.method, group[0].run.axes, tuple(group)) for group in groups.values()]


def is_baseline_of(axes: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether a run of the baseline at ``axes`` is what one at ``other`` is compared with.

    It may know fewer axes than the method.

    Example:
        >>> is_baseline_of({'n': 20}, {'n': 20, 'decoders': 7})
        True
    """
    return axes.items() <= other.items()


def mean_and_spread(values: Iterable[float]) -> tuple[float, float | None]:
    """Return mean and sample standard deviation (n - 1), which a single value doesn't have.

    Example:
        >>> mean_and_spread([1.0, 2.0, 3.0])
        (2.0, 1.0)
    """
    values = list(values)
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None


def paired_difference(values: dict[int, float], baseline: dict[int, float]) -> dict[int, float]:
    """Return ``value - baseline`` for every seed that has both.

    Example:
        >>> paired_difference({0: 3.0, 1: 5.0}, {1: 4.5, 2: 9.0})
        {1: 0.5}
    """
    return {seed: values[seed] - baseline[seed] for seed in values if seed in baseline}


def is_tie(differences: Iterable[float]) -> bool:
    """Return whether the mean of paired differences is below twice its standard error.

    A single difference has no standard error and is not called a tie, nor is none.

    Example:
        >>> is_tie([1.0, 2.0, 3.0]), is_tie([-1.0, 2.0, 3.0])
        (False, True)
    """
    differences = list(differences)
    if len(differences) < 2:
        return False
    mean, spread = mean_and_spread(differences)
    return abs(mean) < 2 * spread / len(differences) ** 0.5


def make_table(grid: Grid, jobs: Sequence[Job], command: str) -> str:
    """Return the results of a grid as Markdown.

    Args:
        grid: The grid.
        jobs: Its jobs; unfinished ones are named below the table.
        command: The command that makes it, quoted below the table.
    """
    rows = make_rows(jobs)
    domains = sorted(
        {name for row in rows for one in row.records.values() for name in one['domains']}
    )
    sections = [
        f'## {grid.name}: {grid.split} split\n\n'
        f'mIoU in percent at the last checkpoint, mean ± sample standard deviation over the seeds.',
        _main_table(grid, rows, domains if len(domains) > 1 else []),
    ]
    if grid.baseline is not None:
        sections[0] += (
            f' The difference to {grid.baseline} is taken seed by seed, then averaged; below twice '
            'its standard error it is a tie.'
        )
    sections += [_class_table(rows, domain) for domain in domains]
    sections += _notes(jobs)
    sections.append(f'Made by:\n\n```bash\n{command}\n```')
    return '\n\n'.join(section for section in sections if section) + '\n'


def _main_table(grid: Grid, rows: list[Row], domains: list[str]) -> str:
    header = ['method', *grid.axes, 'seeds', 'iterations', *(f'{name} mIoU' for name in domains)]
    header += ['mean mIoU' if domains else 'mIoU']
    if grid.baseline is not None:
        header += [f'difference to {grid.baseline}', 'per seed']
    header += ['time', 's/iteration']
    lines = []
    for row in rows:
        records = row.records
        count = (
            f'{len(records)}'
            if len(records) == len(row.jobs)
            else f'{len(records)} of {len(row.jobs)}'
        )
        iterations = sorted({str(one['iterations']) for one in records.values()})
        lines.append(
            [
                row.method + row.mark,
                *(str(row.axes.get(axis, NOTHING)) for axis in grid.axes),
                count,
                ', '.join(iterations) or NOTHING,
                *(_summary(_domain_values(records, name).values()) for name in domains),
                # Beside other domains, the score of one is no mean.
                NOTHING
                if domains and len(_domains(row)) == 1
                else _summary(_values(records).values()),
                *(_difference(grid, rows, row) if grid.baseline is not None else ()),
                _median(records, 'train_seconds', _duration),
                _median(records, 'seconds_per_iteration', lambda seconds: f'{seconds:.3g}'),
            ]
        )
    return markdown_table(header, lines)


def _domains(row: Row) -> set[str]:
    return {name for one in row.records.values() for name in one['domains']}


def _difference(grid: Grid, rows: list[Row], row: Row) -> tuple[str, str]:
    if row.method == grid.baseline:
        return NOTHING, NOTHING
    for other in rows:
        if other.method == grid.baseline and is_baseline_of(other.axes, row.axes):
            if _domains(row) != _domains(other):
                break
            differences = paired_difference(_values(row.records), _values(other.records))
            each = ', '.join(f'{seed}: {value:+.2f}' for seed, value in differences.items())
            tie = ', a tie' if is_tie(differences.values()) else ''
            return _summary(differences.values(), sign='+') + tie, each or NOTHING
    return NOTHING, NOTHING


def _class_table(rows: list[Row], domain: str) -> str:
    rows = [row for row in rows if any(domain in one['domains'] for one in row.records.values())]
    classes: dict[str, None] = {}
    for row in rows:
        for one in row.records.values():
            classes.update(dict.fromkeys(one['domains'].get(domain, {}).get('IoU', {})))
    lines = []
    for name in classes:
        cells = []
        for row in rows:
            found = [
                one['domains'].get(domain, {}).get('IoU', {}).get(name)
                for one in row.records.values()
            ]
            found = [value for value in found if value is not None]
            cells.append(f'{statistics.mean(found):.2f}' if found else NOTHING)
        lines.append([name, *cells])
    if not lines:
        return ''
    table = markdown_table(['class', *(row.title for row in rows)], lines)
    return f'IoU of each class of {domain}, mean over the seeds:\n\n{table}'


def _notes(jobs: Sequence[Job]) -> list[str]:
    notes = []
    out_of_date = [job for job in jobs if job.record and job.differs]
    if out_of_date:
        lines = [f'- {job.run.name}: {"; ".join(job.differs)}' for job in out_of_date]
        notes.append(
            f'{DAGGER} made with another config, code or data than there is now:\n\n'
            + '\n'.join(lines)
        )
    failed = [job.run.name for job in jobs if job.status == 'failed']
    missing = [job.run.name for job in jobs if not job.record and job.status != 'failed']
    if failed:
        notes.append(f'Failed: {", ".join(failed)}.')
    if missing:
        notes.append(f'Not finished: {", ".join(missing)}.')
    machines = sorted({machine_text(job.record['machine']) for job in jobs if job.record})
    if machines:
        notes.append(f'Times are medians over the seeds, on {"; ".join(machines)}.')
    return notes


def machine_text(machine: dict) -> str:
    """Return what a run's record says of its machine, as a phrase."""
    device = machine['gpu'] or f'{machine["cpu"]} ({machine["cores"]} cores)'
    threads = machine['threads']
    return (
        f'{device} with torch {machine["torch"]}, {machine["runs_at_a_time"]} run(s) at a time, '
        f'{threads} thread{"s" if threads > 1 else ""} each'
    )


def _values(records: dict[int, dict]) -> dict[int, float]:
    return {seed: one['mIoU'] for seed, one in records.items()}


def _domain_values(records: dict[int, dict], domain: str) -> dict[int, float]:
    values = {seed: one['domains'].get(domain, {}).get('mIoU') for seed, one in records.items()}
    return {seed: value for seed, value in values.items() if value is not None}


def _summary(values: Iterable[float], sign: str = '') -> str:
    values = list(values)
    if not values:
        return NOTHING
    mean, spread = mean_and_spread(values)
    return f'{mean:{sign}.2f} ± ' + ('n/a' if spread is None else f'{spread:.2f}')


def _median(records: dict[int, dict], key: str, write: Callable[[float], str]) -> str:
    values = [one[key] for one in records.values() if one[key] is not None]
    return write(statistics.median(values)) if values else NOTHING


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f'{seconds:.0f} s'
    return f'{seconds / 60:.1f} min' if seconds < 5400 else f'{seconds / 3600:.1f} h'
