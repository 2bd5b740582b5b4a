"""A grid while it runs, and its results at the end: what ``tools/run_experiments.py`` shows."""

import argparse
import dataclasses
import os
import shlex
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path

from mmengine.logging import MMLogger
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from cct_mm.files import write_atomically

from .forecast import forecast, measure_pace
from .grid import Grid, GridError, load_grid
from .jobs import Job, log_tail, read_jobs
from .record import write_json
from .run_progress import RunProgress, clock, read_progress, seconds_left
from .runner import default_jobs, run_grid
from .summary import make_summary
from .table import make_table


class Display:
    """Shows a grid while it runs: a live table on a terminal, lines elsewhere.

    Args:
        console: Where to.
        at_a_time: Runs at a time, which the time left depends on.
    """

    def __init__(self, console: Console, at_a_time: int) -> None:
        self.console = console
        self.at_a_time = at_a_time
        self.live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self.period = 2.0 if self.live else 60.0
        self.shown = -self.period
        self.statuses: dict[str, str] = {}

    def __enter__(self) -> 'Display':
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *_) -> None:
        if self.live:
            self.live.stop()

    def __call__(self, jobs: list[Job]) -> None:
        """Show the jobs, where something has changed or time has passed."""
        statuses = {job.run.name: job.status for job in jobs}
        changed = [job for job in jobs if statuses[job.run.name] != self.statuses.get(job.run.name)]
        if not changed and time.monotonic() - self.shown < self.period:
            return
        if not self.live and self.statuses:
            for job in changed:
                self.console.print(f'{job.run.name}: {job.status}', highlight=False)
        self.statuses, self.shown = statuses, time.monotonic()
        progress = [read_progress(job) for job in jobs]
        summary = self._summary(jobs, progress)
        if self.live:
            self.live.update(self._table(jobs, progress, summary), refresh=True)
        else:
            running = [
                f'{job.run.name} {one.iteration}/{one.total or "?"}'
                for job, one in zip(jobs, progress, strict=True)
                if job.status == 'training'
            ]
            self.console.print(', '.join([summary, *running]), highlight=False, soft_wrap=True)

    def _summary(self, jobs: list[Job], progress: list[RunProgress]) -> str:
        counts = Counter(job.status for job in jobs)
        left = seconds_left(jobs, progress, self.at_a_time)
        text = f'{counts["done"]} of {len(jobs)} runs done'
        if counts['failed']:
            text += f', {counts["failed"]} failed'
        return text + (f', about {clock(left)} left' if left is not None else '')

    def _table(self, jobs: list[Job], progress: list[RunProgress], summary: str) -> Table:
        table = Table(title=summary, title_justify='left', box=None)
        for column in ('run', 'state', 'iterations', '', 's/iteration', 'left', 'val mIoU'):
            table.add_column(column, justify='left' if column in ('run', 'state', '') else 'right')
        rows = list(zip(jobs, progress, strict=True))
        # What runs comes first; a long grid doesn't fit on the screen, the rest is in the summary.
        rows.sort(key=lambda row: row[0].status in ('waiting', 'done'))
        for job, one in rows[: max(3, self.console.height - 6)]:
            pace = one.seconds_per_iteration
            running = job.status == 'training' and pace is not None and one.total
            table.add_row(
                job.run.name,
                job.status,
                f'{one.iteration}/{one.total or "?"}',
                ProgressBar(total=one.total or 1, completed=one.iteration, width=20),
                '' if pace is None else f'{pace:.3g}',
                clock(pace * (one.total - one.iteration)) if running else '',
                '' if one.val_miou is None else f'{one.val_miou:.2f}',
            )
        return table


def show_failures(jobs: list[Job]) -> None:
    """Print why runs failed, with the end of their logs."""
    for job in jobs:
        if job.status == 'failed':
            tail = log_tail(job.log)
            print(f'\nFAILED {job.error}', file=sys.stderr)
            if tail:
                print('  | ' + tail.replace('\n', '\n  | '), file=sys.stderr)


def write_results(grid: Grid, jobs: list[Job], args: argparse.Namespace, root: Path) -> None:
    """Print the table, write it beside the results, and write the record where one is asked for."""
    words = ['python', 'tools/run_experiments.py', grid.path, '--split', grid.split]
    if args.work_dir != 'work_dirs/experiments':
        words += ['--work-dir', args.work_dir]
    command = shlex.join(words)
    table = make_table(grid, jobs, command)
    name = 'table.md' if grid.split == 'test' else f'table_{grid.split}.md'
    path = Path(args.work_dir) / grid.name / name
    write_atomically(path, table)
    print(f'\n{table}\nTable: {path}; a record of each run is beside it.')
    if args.record and any(job.record for job in jobs):
        write_json(args.record, make_summary(grid, jobs, command, root))
        print(f'Record: {args.record}')


def show_forecast(
    grid: Grid, args: argparse.Namespace, root: Path, at_a_time: int, launcher: list[str]
) -> None:
    """Print what the grid would run; measure some iterations where nothing is known."""
    train = [*launcher, sys.executable, str(Path(os.path.relpath(root)) / 'tools/train.py')]
    measure = partial(
        measure_pace, command=train, threads=grid.threads, folder='.' if launcher else None
    )
    print(forecast(grid, args.work_dir, root, at_a_time, args.stale or 'refuse', measure), end='')


def run(args: argparse.Namespace, root: Path) -> int:
    """Run a grid, or only make its table, as ``tools/run_experiments.py`` asks for.

    Args:
        args: Its command line.
        root: The folder that has ``tools`` in it.

    Returns:
        0 if all runs are done, 1 if one failed, 2 for bad input, 130 if interrupted.
    """
    # What it says of each config that it reads is none of the results.
    MMLogger.get_current_instance().setLevel('WARNING')
    try:
        return _run(args, root)
    except GridError as error:
        print(f'run_experiments.py: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('\nInterrupted.', file=sys.stderr)
        return 130


def _run(args: argparse.Namespace, root: Path) -> int:
    grid = load_grid(args.grid)
    if args.split:
        grid = dataclasses.replace(grid, split=args.split)
    folder = Path(args.work_dir) / grid.name
    if args.table_only:
        jobs = read_jobs(grid, args.work_dir, root)
        if not any(job.record for job in jobs):
            raise GridError(
                f'{folder}: no finished run of the {grid.split} split, expected at least one; '
                f'leave out --table-only to run the grid'
            )
        write_results(grid, jobs, args, root)
        return 0

    at_a_time = args.jobs or default_jobs(grid.threads)
    launcher = shlex.split(args.launcher or '')
    if args.dry_run:
        show_forecast(grid, args, root, at_a_time, launcher)
        return 0
    try:
        with Display(Console(stderr=True), at_a_time) as display:
            jobs = run_grid(
                grid,
                args.work_dir,
                root,
                jobs=at_a_time,
                stale=args.stale or 'refuse',
                on_tick=display,
                launcher=launcher,
            )
    except KeyboardInterrupt:
        print(
            f'\nInterrupted; every run has been stopped. Their state is in {folder}, the same '
            f'command goes on from there.',
            file=sys.stderr,
        )
        return 130
    write_results(grid, jobs, args, root)
    show_failures(jobs)
    return 1 if any(job.status == 'failed' for job in jobs) else 0
