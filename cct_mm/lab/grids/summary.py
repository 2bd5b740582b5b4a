"""The summary of a grid, with all seeds, that ``docs/records`` keeps and the docs' tables show."""

import datetime
import statistics
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from .grid import Grid
from .jobs import Job
from .table import Row, machine_text, make_rows


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
        'rows': [_row(row) for row in make_rows(jobs) if row.records],
    }
    out_of_date = [f'{job.run.name}: {"; ".join(job.differs)}' for job in done if job.differs]
    return summary | ({'out_of_date': out_of_date} if out_of_date else {})


def _row(row: Row) -> dict:
    records = row.records
    scores: dict[str, dict] = defaultdict(dict)
    classes: dict[str, dict] = defaultdict(lambda: defaultdict(list))
    for seed, record in records.items():
        for name, domain in record['domains'].items():
            scores[name][str(seed)] = domain['mIoU']
            for label, value in domain['IoU'].items():
                if value is not None:
                    classes[name][label].append(value)
    return {
        'method': row.method,
        'axes': row.axes,
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
