"""Repeats one seed of a row of ``docs/records`` and compares: ``make verify ROW=camvid_cpu:cct``.

A row is named ``RECORD:METHOD[:AXIS=VALUE...][:seed=SEED]``. With the same machine, versions,
config, code and data a run repeats exactly. Elsewhere it is another draw, which differs from the
record's mean by a standard error of std * sqrt(1 + 1 / seeds); twice that is allowed.
"""

import dataclasses
import itertools
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from .grid import Grid, GridError, Run
from .jobs import Job, read_jobs
from .published import changes, grid_of, run_of
from .runner import run_grid
from .screen import Display, show_failures
from .summary import environment
from .table import mean_and_spread

FOLDERS = ('docs/records', 'configs/experiments')
"""Where records are, below the repository."""


@dataclass(frozen=True)
class Published:
    """A row of a record.

    Args:
        name: The record's name.
        record: The record.
        row: The row.
    """

    name: str
    record: dict
    row: dict

    def __str__(self) -> str:
        point = [f'{axis}={value}' for axis, value in self.row['axes'].items()]
        return ':'.join([self.name, self.row['method'], *point])

    @property
    def seeds(self) -> list[int]:
        """Seeds of which the record has a value or, in an old one, a difference."""
        values = self.row['mIoU']
        if 'mean' in values:
            values = self.row.get('difference', {}).get('seeds', {})
        return [int(seed) for seed in values]

    def statistics(self) -> tuple[float, float | None, int]:
        """Return mean and spread of the row, and of how many seeds they are."""
        values = self.row['mIoU']
        if 'mean' not in values:
            return *mean_and_spread(values.values()), len(values)
        # An old record tells how many seeds there were by its differences, or by its grid.
        count = len(self.seeds) or len({run.seed for run in grid_of(self.record).runs})
        return values['mean'], values.get('std'), count


@dataclass(frozen=True)
class Verdict:
    """Whether a result agrees with a row, None where that cannot be told, and a sentence on it."""

    agrees: bool | None
    text: str


def read_rows(root: str | Path) -> list[Published]:
    """Return the rows of all records that can be repeated."""
    rows = []
    for path in _record_files(root):
        record = json.loads(path.read_text(encoding='utf-8'))
        rows += [Published(path.stem, record, row) for row in record.get('rows', [])]
    return rows


def _record_files(root: str | Path) -> Iterator[Path]:
    for folder in FOLDERS:
        yield from sorted((Path(root) / folder).glob('*.json'))


def list_rows(rows: list[Published]) -> str:
    """Return one line for each row: its name, and what a record says of it."""
    lines = []
    for row in rows:
        mean, spread, seeds = row.statistics()
        score = f'{mean:.2f}' + ('' if spread is None else f' ± {spread:.2f}')
        seconds = row.row.get('train_seconds')
        time = '' if seconds is None else f', {seconds / 60:.0f} min a run'
        lines.append(
            f'{str(row):45} {score}, {seeds} seed(s), {row.row["iterations"]} iterations{time}'
        )
    return '\n'.join(lines)


def find_row(rows: list[Published], text: str) -> tuple[Published, Run]:
    """Return the row that a text names, and the run that repeats a seed of it.

    Args:
        rows: The rows there are.
        text: ``RECORD:METHOD[:AXIS=VALUE...][:seed=SEED]``. An axis may be left out where the rest
            names one row only; the seed is the record's first.

    Raises:
        GridError: There is no such row, or no such run.
    """
    name, *parts = text.split(':')
    method, *pairs = parts or ['']
    wanted = dict(pair.partition('=')[::2] for pair in pairs)
    seed = wanted.pop('seed', None)
    found = [
        row
        for row in rows
        if (row.name, row.row['method']) == (name, method)
        and wanted.items() <= {axis: str(value) for axis, value in row.row['axes'].items()}.items()
    ]
    if len(found) != 1:
        near = found or [row for row in rows if row.name == name] or rows
        raise GridError(
            f'{text} names {len(found) or "no"} rows, expected one as RECORD:METHOD:AXIS=VALUE; '
            f'choose one of\n' + '\n'.join(f'  {row}' for row in near)
        )
    (row,) = found
    if seed is not None and not seed.isdigit():
        raise GridError(f'{text}: seed is {seed!r}, expected an integer such as 1')
    chosen = int(seed) if seed else next(iter(row.seeds), None)
    return row, run_of(row.record, row.row, chosen)


def repeat(row: Published, run: Run, work_dir: str | Path, root: str | Path) -> Job:
    """Train and evaluate a run in a folder of its own; one that was interrupted goes on.

    Args:
        row: The row.
        run: What is run.
        work_dir: Where its folder is made.
        root: Repository.

    Returns:
        The job, done or failed.

    Raises:
        GridError: Nothing was started, and why.
        KeyboardInterrupt: It was interrupted.
    """
    grid = dataclasses.replace(
        grid_of(row.record), split=row.record['split'], baseline=None, runs=(run,)
    )
    grid = dataclasses.replace(grid, name=_fresh_name(grid, row.name, work_dir, root))
    with Display(Console(stderr=True), at_a_time=1) as display:
        (job,) = run_grid(grid, work_dir, root, jobs=1, stale='rerun', on_tick=display)
    show_failures([job])
    return job


def judge(row: Published, record: dict, root: str | Path) -> Verdict:
    """Compare a result with its row.

    Args:
        row: The row.
        record: The record of the run that has repeated one of its seeds.
        root: Repository.
    """
    value, recorded = record['mIoU'], row.row['mIoU'].get(str(record['seed']))
    found = f'{row}: seed {record["seed"]} has {value:.2f} mIoU'
    if value == recorded:
        return Verdict(True, f'{found}, exactly as recorded.')
    others = _differences(row, record, root)
    if recorded is None:
        others.append('the record has no value of this seed')
    if recorded is not None and not others:
        return Verdict(
            False,
            f'{found}, the record {recorded:.2f}; with the same machine, versions, config, code '
            f'and data it should be exactly the same, so that something else has changed.',
        )
    because = f'Not expected to be exactly the same: {"; ".join(others)}.'
    mean, spread, seeds = row.statistics()
    if spread is None:
        return Verdict(None, f'{found}, the only seed of the record {mean:.2f}. {because}')
    allowed = 2 * spread * math.sqrt(1 + 1 / seeds)
    agrees = abs(value - mean) <= allowed
    return Verdict(
        agrees,
        f'{found}, {"within" if agrees else "not within"} two standard errors of the record: '
        f'{mean:.2f} ± {allowed:.2f} for one run beside {seeds} seeds. {because}',
    )


def _fresh_name(grid: Grid, name: str, work_dir: str | Path, root: str | Path) -> str:
    """Return a folder in which the run is not finished: a result of before proves nothing now."""
    for number in itertools.count(1):
        folder = name if number == 1 else f'{name}-{number}'
        (job,) = read_jobs(dataclasses.replace(grid, name=folder), work_dir, root)
        if not job.record:
            return folder
    raise AssertionError


def _differences(row: Published, record: dict, root: str | Path) -> list[str]:
    """Name what keeps a run from repeating a row exactly, as far as the record tells."""
    changed = changes(row.record, row.row, root, exactly=True)
    found = (
        ['the record has no hashes'] if changed is None else [f'{one} changed' for one in changed]
    )
    there = row.record.get('environment')
    if there is None:
        return [*found, 'the record does not tell machine and versions']
    if there.get('gpu'):
        found.append('a GPU adds up in another order each time')
    here = environment([record['machine']])
    return found + [
        f'{key} is {value}, there {there.get(key)}'
        for key, value in here.items()
        if value != there.get(key)
    ]
