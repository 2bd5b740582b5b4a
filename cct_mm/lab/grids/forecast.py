"""What a grid would run and about how long that takes: ``run_experiments.py --dry-run``.

Nothing is written where results are kept. The seconds are those of finished runs with the same
config, or else those that runs with it have logged, or else a few iterations are measured.
"""

import os
import shlex
import signal
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cct_mm.lab.markdown import markdown_table
from cct_mm.progress_bar import progress_bar

from .grid import Grid, GridError, Run
from .jobs import Job, check_list_files, log_tail, read_jobs, starts_anew
from .record import STATE, last_checkpoint, read_json, read_scalars
from .run_progress import clock, read_progress, time_together
from .runner import limit_threads

WARM_UP = 3
"""First iterations, which take longer than others and are not measured."""
MEASURED = 5


@dataclass(frozen=True)
class Pace:
    """How fast runs of a config are.

    Args:
        seconds: What an iteration takes; where runs are finished, with their validations.
        source: Where that is from.
    """

    seconds: float
    source: str


@dataclass
class Plan:
    """What becomes of one run.

    Args:
        job: The run as it is on disk.
        state: What is to be done with it, in words.
        left: Iterations that it has to train.
        pace: How fast they are, where that is known.
    """

    job: Job
    state: str
    left: int
    pace: Pace | None = None

    @property
    def to_do(self) -> bool:
        """Whether it is trained or evaluated."""
        return self.state not in ('done', 'stale')

    @property
    def seconds(self) -> float | None:
        """What its training takes, None for one that is not trained."""
        return self.pace and self.pace.seconds * self.left

    def cells(self) -> list[str]:
        """Return its line of the table."""
        cells = [self.job.run.name, self.state, str(self.left) if self.to_do else '']
        if self.pace is None:
            return [*cells, '', '', '']
        return [*cells, f'{self.pace.seconds:.3g}', self.pace.source, clock(self.seconds)]


def forecast(
    grid: Grid,
    work_dir: str | Path,
    root: str | Path,
    at_a_time: int,
    stale: str,
    measure: Callable[[Run], float],
) -> str:
    """Return what would be run, with which options and for how long, as Markdown.

    Args:
        grid: The grid.
        work_dir: Where results are kept.
        root: Repository, which holds ``cct_mm/`` and ``tools/``.
        at_a_time: Runs at a time.
        stale: As for :func:`~cct_mm.lab.grids.runner.run_grid`.
        measure: Returns the seconds of an iteration, for a config of which nothing is known.

    Raises:
        GridError: What would keep the grid from being started.
    """
    plans = [_plan(job, stale) for job in read_jobs(grid, work_dir, root)]
    check_list_files([plan.job for plan in plans if plan.to_do])
    _estimate(plans, _known_paces([plan.job for plan in plans], work_dir), measure)
    seconds = [plan.seconds for plan in plans if plan.seconds is not None]
    together = clock(time_together(seconds, at_a_time))
    header = ['run', 'state', 'iterations', 's/iteration', 'from', 'time']
    sections = [
        f'## {grid.name}: {grid.split} split, '
        f'{sum(plan.to_do for plan in plans)} of {len(plans)} runs to do',
        markdown_table(header, [plan.cells() for plan in plans]),
        f'About {clock(sum(seconds))} of training, {together} with {at_a_time} at a time. '
        f'Evaluations, and validations where an iteration was measured, come on top.',
        _commands([plan.job.run for plan in plans if plan.to_do]),
        _refusal([plan.job for plan in plans if plan.state == 'stale']),
    ]
    return '\n\n'.join(section for section in sections if section) + '\n'


def measure_pace(
    run: Run, command: Sequence[str], threads: int, folder: str | None = None
) -> float:
    """Return the seconds of an iteration, from the first ones of a training in a temporary folder.

    Args:
        run: Its config and options are those of the training.
        command: What starts ``tools/train.py``, a launcher in front of it included.
        threads: CPU threads.
        folder: Where the temporary folder is made, for a launcher one that all machines see.

    Raises:
        GridError: The training ended before that.
    """
    with tempfile.TemporaryDirectory(prefix='.measured_', dir=folder) as folder:
        log = Path(folder) / 'log'
        options = ['default_hooks.logger.interval=1', 'log_processor.window_size=1']
        command = [*command, run.config, '--work-dir', folder]
        command += ['--cfg-options', *run.cfg_options, *options]
        with log.open('wb') as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=limit_threads(threads),
                start_new_session=True,
            )
        try:
            while len(read_scalars(folder)[0]) < WARM_UP + MEASURED and process.poll() is None:
                time.sleep(0.1)
        finally:
            _end(process)
        lines = [line for line in read_scalars(folder)[0].values() if 'time' in line]
        times = [line['time'] for line in lines[WARM_UP:] or lines]
        if not times:
            raise GridError(
                f'{run.name}: a training of {run.config} ended before its first iteration, '
                f'expected {WARM_UP + MEASURED} to measure; its last lines:\n{log_tail(log)}'
            )
    return statistics.median(times)


def _plan(job: Job, stale: str) -> Plan:
    # A run goes on from its last whole checkpoint, whatever it has logged since.
    checkpoint = last_checkpoint(job.train_dir)
    reached = checkpoint.stem.removeprefix('iter_') if checkpoint else ''
    left = max(0, (job.iterations or 0) - (int(reached) if reached.isdigit() else 0))
    if starts_anew(job, stale):
        return Plan(job, 'to be trained again', job.iterations or 0)
    if job.differs and stale == 'refuse':
        return Plan(job, 'stale', 0)
    if job.record:
        return Plan(job, 'done', 0)
    state = read_json(job.folder / STATE) or {}
    if state.get('trained'):
        return Plan(job, 'to be evaluated', left)
    return Plan(job, 'to be resumed' if checkpoint else 'to be trained', left)


def _estimate(plans: list[Plan], paces: dict[str, Pace], measure: Callable[[Run], float]) -> None:
    """Give each run that is trained the pace of its config, measured where it is not known."""
    trained = [plan for plan in plans if plan.to_do and plan.left]
    unknown = {plan.job.hashes['config']: plan.job.run for plan in trained}
    unknown = {config: run for config, run in unknown.items() if config not in paces}
    with progress_bar('configs measured', len(unknown), stderr=True) as update:
        for done, (config, run) in enumerate(unknown.items(), start=1):
            paces[config] = Pace(measure(run), 'measured')
            update(done)
    for plan in trained:
        plan.pace = paces[plan.job.hashes['config']]


def _known_paces(jobs: list[Job], work_dir: str | Path) -> dict[str, Pace]:
    """Return the pace of each config that is known, by the hash of the config."""
    logged, recorded = defaultdict(list), defaultdict(list)
    for job in jobs:
        pace = read_progress(job).seconds_per_iteration
        if pace is not None and not job.differs:
            logged[job.hashes['config']].append(pace)
    # The same config may be part of another grid. A run has a record for each split.
    files = {file.parent: file for file in sorted(Path(work_dir).glob('*/*/result*.json'))}
    for file in files.values():
        record = read_json(file)
        if record['iterations']:
            seconds = record['train_seconds'] / record['iterations']
            recorded[record['hashes']['config']].append(seconds)
    return {
        config: Pace(statistics.median(paces), f'{source} by {len(paces)} run(s)')
        for source, found in (('logged', logged), ('recorded', recorded))
        for config, paces in found.items()
    }


def _commands(runs: list[Run]) -> str:
    """Return what each point of the grid is trained with, its seeds apart."""
    lines = []
    for config, options in dict.fromkeys((run.config, run.options) for run in runs):
        words = ['tools/train.py', config, *(['--cfg-options', *options] if options else [])]
        lines.append(f'    {shlex.join(words)}')
    return 'Options:\n\n' + '\n'.join(lines) if lines else ''


def _refusal(stale: list[Job]) -> str:
    if not stale:
        return ''
    lines = [f'- {job.run.name}: {"; ".join(job.differs)}' for job in stale]
    return (
        'Stale, made with another config, code or data than there is now; the grid starts with '
        '--keep or --rerun only:\n\n' + '\n'.join(lines)
    )


def _end(process: subprocess.Popen) -> None:
    """End a measured training, of which nothing is kept."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
