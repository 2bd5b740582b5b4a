"""The summary of a grid, with all seeds, that ``docs/records`` keeps and the docs' tables show."""

import datetime
import statistics
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .grid import Grid
from .jobs import Job
from .published import hashes_of
from .table import Row, machine_text, make_rows

_VERSIONS = ('python', 'torch', 'mmengine', 'mmcv', 'mmseg')
_ROUNDING = (*_VERSIONS, 'cpu', 'instructions', 'gpu', 'threads')


def make_summary(grid: Grid, jobs: Sequence[Job], command: str, root: str | Path) -> dict:
    """Return the results of a grid, ready for JSON; ``docs/records/README.md`` explains the keys.

    Args:
        grid: The grid.
        jobs: Its jobs, of which at least one is done.
        command: The command that makes them.
        root: Repository, whose commit is written down.
    """
    done = [job for job in jobs if job.record]
    machines = sorted({machine_text(job.record['machine']) for job in done})
    summary = {
        'grid': grid.name,
        'command': command,
        'split': grid.split,
        'baseline': grid.baseline,
        'commit': _commit(root),
        'date': datetime.date.today().isoformat(),
        'machine': '; '.join(machines),
        'environment': environment([job.record['machine'] for job in done]),
        'rows': [_row(row, grid.split, root) for row in make_rows(jobs) if row.records],
    }
    out_of_date = [f'{job.run.name}: {"; ".join(job.differs)}' for job in done if job.differs]
    return summary | ({'out_of_date': out_of_date} if out_of_date else {})


def environment(machines: Sequence[dict]) -> dict[str, Any]:
    """Return what rounding depends on: a value where machines agree, or else a list of them."""
    found = {key: list(dict.fromkeys(one.get(key) for one in machines)) for key in _ROUNDING}
    return {key: values[0] if len(values) == 1 else values for key, values in found.items()}


def _row(row: Row, split: str, root: str | Path) -> dict:
    records = row.records
    scores: dict[str, dict] = defaultdict(dict)
    classes: dict[str, dict] = defaultdict(lambda: defaultdict(list))
    for seed, record in records.items():
        for name, domain in record['domains'].items():
            scores[name][str(seed)] = domain['mIoU']
            for label, value in domain['IoU'].items():
                if value is not None:
                    classes[name][label].append(value)
    # Of a run that is out of date, those of now would tell a lie.
    current = not any(job.record and job.differs for job in row.jobs)
    return {
        'method': row.method,
        'axes': row.axes,
        **({'hashes': hashes_of(row.jobs[0].run, split, root)} if current else {}),
        'iterations': next(iter(records.values()))['iterations'],
        'mIoU': {str(seed): record['mIoU'] for seed, record in records.items()},
        'domains': {
            name: {
                'mIoU': values,
                'IoU': {k: round(statistics.mean(v), 2) for k, v in classes[name].items()},
            }
            for name, values in scores.items()
        },
        'train_seconds': statistics.median(record['train_seconds'] for record in records.values()),
    }


def _commit(root: str | Path) -> str | None:
    """Return the commit that is checked out; None outside of a git repository."""
    try:
        command = ['git', '-C', str(root), 'rev-parse', '--short', 'HEAD']
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
