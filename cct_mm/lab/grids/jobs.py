"""The runs of a grid as they are on disk: how far each is, and whether it still holds."""

import itertools
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from .grid import Grid, GridError, Run
from .identity import Identity, differences, identify, missing_list_files, resolve_config
from .record import STATE, last_checkpoint, read_json, result_file


@dataclass
class Job:
    """One run and how far it is.

    Args:
        run: The run.
        folder: Where it is kept.
        iterations: Length of its training, None where the config doesn't say.
        status: ``waiting``, ``training``, ``evaluating``, ``done``, ``failed`` or ``interrupted``.
        hashes: Of config, code and data as they are now.
        record: Its record once it is done.
        differs: What differs between its stored identity and the present one.
        error: Why it failed.
        log: What it wrote last.
    """

    run: Run
    folder: Path
    iterations: int | None = None
    status: str = 'waiting'
    hashes: dict[str, str] = field(default_factory=dict)
    record: dict | None = None
    differs: list[str] = field(default_factory=list)
    error: str = ''
    log: Path | None = None
    _process: subprocess.Popen | None = field(default=None, repr=False)
    _started: float = field(default=0.0, repr=False)
    _slot: int = field(default=0, repr=False)

    @property
    def train_dir(self) -> Path:
        """Work directory of its training."""
        return self.folder / 'train'


def read_jobs(grid: Grid, work_dir: str | Path, root: str | Path) -> list[Job]:
    """Return the runs of a grid as they are on disk, compared with config, code and data of now.

    Args:
        grid: The grid.
        work_dir: Where results are kept.
        root: Repository, which holds ``cct_mm/`` and ``tools/``.
    """
    identities: dict[tuple, Identity] = {}
    jobs = []
    for run in grid.runs:
        # The seeds of a point share everything but the seed, which no part holds.
        point = (run.config, run.options)
        if point not in identities:
            identities[point] = identify(run, root)
        now = identities[point]
        job = Job(run, Path(work_dir) / grid.name / run.name)
        job.iterations = now.config.get('train_cfg.max_iters')
        job.hashes = now.hashes
        job.record = read_json(job.folder / result_file(grid.split))
        state = read_json(job.folder / STATE) or {}
        stored = job.record or state
        if stored:
            changed = stored['changed_while_running']
            job.differs = differences(stored['hashes'], state.get('parts', {}), now)
            job.differs += [f'{kind} (changed while it ran)' for kind in changed]
        if job.record:
            job.status = 'done'
        elif state.get('error'):
            job.status, job.error = 'failed', state['error']
        jobs.append(job)
    return jobs


def log_tail(path: Path | None, lines: int = 15) -> str:
    """Return the last lines of a log."""
    if path is None or not path.is_file():
        return ''
    with path.open('rb') as file:
        file.seek(max(0, path.stat().st_size - 100_000))
        text = file.read().decode('utf-8', errors='replace')
    return '\n'.join(text.splitlines()[-lines:])


def check_list_files(jobs: list[Job]) -> None:
    """Check that the lists of files which the configs name are there.

    Raises:
        GridError: If one is missing.
    """
    checked = set()
    for job in jobs:
        point = (job.run.config, job.run.options)
        if point not in checked:
            checked.add(point)
            missing = missing_list_files(resolve_config(job.run))
            if missing:
                raise GridError(
                    f'{job.run.config}: ann_file {missing[0]} does not exist, expected the list of '
                    f'a data set: prepare the data (data/README.md) or correct data_root '
                    f'({len(missing)} missing in all; nothing was started)'
                )


def starts_anew(job: Job, stale: str) -> bool:
    """Tell whether a run is moved aside: on request, or where what differs is worth nothing.

    Args:
        job: A job.
        stale: As for :func:`~cct_mm.lab.grids.runner.run_grid`.
    """
    if not job.differs:
        return False
    state = read_json(job.folder / STATE) or {}
    worthless = not (job.record or state.get('trained') or last_checkpoint(job.train_dir))
    return worthless or stale == 'rerun'


def settle_stale(jobs: list[Job], stale: str) -> None:
    """Move aside what is to be run again, and refuse what nobody has decided on.

    Args:
        jobs: The jobs; those that are moved aside wait again.
        stale: As for :func:`~cct_mm.lab.grids.runner.run_grid`.

    Raises:
        GridError: If results of another config, code or data are there and ``stale`` is
            ``'refuse'``.
    """
    refused, moved = [], []
    for job in jobs:
        if starts_anew(job, stale):
            stored = job.record or read_json(job.folder / STATE)
            moved.append((job, stored['hashes']['run']))
        elif job.differs and stale == 'refuse':
            refused.append(f'  {job.run.name}: {"; ".join(job.differs)}')
    if refused:
        raise GridError(
            f'{len(refused)} run(s) were made with another config, code or data than there is now, '
            f'expected the same; nothing was started. --keep uses them as they are and marks them '
            f'in the table, --rerun moves them aside and runs them again:\n' + '\n'.join(refused)
        )
    for job, identity in moved:
        target = job.folder.parent / f'stale-{identity[:8]}' / job.run.name
        numbers = itertools.count(2)
        while target.exists():
            target = target.with_name(f'{job.run.name}-{next(numbers)}')
        target.parent.mkdir(exist_ok=True)
        job.folder.rename(target)
        job.record, job.differs, job.status = None, [], 'waiting'
