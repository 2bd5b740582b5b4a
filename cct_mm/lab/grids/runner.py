"""Trains and evaluates the runs of a grid, several at a time, resuming what was interrupted.

Everything is kept in ``<work_dir>/<grid>/<run>/``::

    state.json          identity at the start, seconds, sessions, whether the training is complete
    train/              work directory of tools/train.py
    evaluation_test/    work directory of tools/test.py
    train.log           output of the two
    evaluation_test.log
    machine_train.json  the machine that a launcher has chosen; machine_test.json for the evaluation
    result.json         the record, written last; result_val.json for the validation split

Processes are polled by one loop, without threads: a run is a training, then an evaluation.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import torch

from cct_mm.engine.checkpoints.files import CheckpointError, newest_checkpoint
from cct_mm.processes import core_count

from .grid import Grid, GridError
from .guards import locked, signals_collected
from .identity import KINDS, Identity, identify
from .jobs import Job, check_list_files, read_jobs, settle_stale
from .record import (
    STATE,
    describe_machine,
    last_checkpoint,
    make_record,
    read_json,
    result_file,
    write_json,
)

_POLL_SECONDS = 0.2
_NODE = Path(__file__).with_name('node.py')


def run_grid(
    grid: Grid,
    work_dir: str | Path,
    root: str | Path,
    jobs: int | None = None,
    stale: str = 'refuse',
    on_tick: Callable[[list[Job]], None] = lambda jobs: None,
    train_command: Sequence[str] | None = None,
    test_command: Sequence[str] | None = None,
    launcher: Sequence[str] = (),
    grace_seconds: float = 60.0,
) -> list[Job]:
    """Run what isn't finished.

    On SIGINT, SIGTERM or SIGHUP the running processes get a SIGINT, launchers a SIGTERM, and
    ``grace_seconds`` to end, then they are killed; a second signal kills them at once. What they
    have written is resumed by the next call. To be called from the main thread, where signals
    arrive.

    Args:
        grid: The grid.
        work_dir: Where results are kept.
        root: Repository, which holds ``cct_mm/`` and ``tools/``.
        jobs: Runs at a time. Default: :func:`default_jobs`.
        stale: What to do with what was made by another config, code or data: ``'refuse'`` to run
            anything, ``'keep'`` it (also: continue it), or ``'rerun'`` it after moving it aside.
        on_tick: Called with all jobs a few times a second.
        train_command: What to call in place of ``python tools/train.py``, with its arguments.
        test_command: What to call in place of ``python tools/test.py``, with its arguments.
        launcher: Stands in front of each of these commands and runs it on a machine of its choice,
            in this folder and with this environment; such as ``['srun', '--gres=gpu:1', '-n1']``.
        grace_seconds: See above.

    Returns:
        All jobs of the grid, ``done`` or ``failed``.

    Raises:
        GridError: Nothing was started, and why.
        KeyboardInterrupt: It was interrupted; all processes have ended.
    """
    if launcher and shutil.which(launcher[0]) is None:
        raise GridError(
            f'--launcher: there is no program {launcher[0]!r} here, expected one that runs a '
            f'command on another machine, such as srun; correct its name or load it'
        )
    folder = Path(work_dir) / grid.name
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder) as lock:
        all_jobs = read_jobs(grid, work_dir, root)
        settle_stale(all_jobs, stale)
        unfinished = [job for job in all_jobs if job.status != 'done']
        for job in unfinished:
            job.status, job.error = 'waiting', ''
        check_list_files(unfinished)
        pool = _Pool(grid, root, jobs, lock, train_command, test_command, launcher)
        pool.run(all_jobs, on_tick, grace_seconds)
    return all_jobs


def default_jobs(threads: int) -> int:
    """Return the runs at a time: one for each GPU; without GPUs as many as the cores carry."""
    return len(visible_gpus()) or max(1, core_count() // threads)


def visible_gpus() -> list[str]:
    """Return the values of ``CUDA_VISIBLE_DEVICES`` that select one GPU each."""
    count = torch.cuda.device_count()
    chosen = os.environ.get('CUDA_VISIBLE_DEVICES')
    return chosen.split(',')[:count] if chosen else [str(index) for index in range(count)]


def limit_threads(threads: int) -> dict[str, str]:
    """Return the environment of a process with a number of CPU threads."""
    return {**os.environ, 'OMP_NUM_THREADS': str(threads), 'MKL_NUM_THREADS': str(threads)}


class _Pool:
    """Polls the processes of a grid."""

    def __init__(
        self,
        grid: Grid,
        root: str | Path,
        jobs: int | None,
        lock: IO,
        train_command: Sequence[str] | None,
        test_command: Sequence[str] | None,
        launcher: Sequence[str],
    ) -> None:
        tools = Path(os.path.relpath(root)) / 'tools'
        self.grid = grid
        self.root = root
        self.lock = lock
        self.size = jobs or default_jobs(grid.threads)
        self.slots = list(range(self.size))
        self.launcher = list(launcher)
        # Those of this machine; a launcher deals out its own.
        self.gpus = [] if launcher else visible_gpus()
        self.train_command = train_command or [sys.executable, str(tools / 'train.py')]
        self.test_command = test_command or [sys.executable, str(tools / 'test.py')]

    def run(
        self, jobs: list[Job], on_tick: Callable[[list[Job]], None], grace_seconds: float
    ) -> None:
        """Run all waiting jobs.

        Args:
            jobs: All jobs.
            on_tick: Called with them a few times a second.
            grace_seconds: What an interrupted process has to end.
        """
        waiting = [job for job in jobs if job.status == 'waiting']
        running: list[Job] = []
        with signals_collected() as signals:
            try:
                while (waiting or running) and not signals:
                    while waiting and self.slots:
                        job = waiting.pop(0)
                        job._slot = self.slots.pop(0)
                        running.append(job)
                        self._attempt(job, self._begin)
                    for job in running:
                        if job._process and job._process.poll() is not None:
                            self._attempt(job, self._advance)
                    for job in [job for job in running if job._process is None]:
                        running.remove(job)
                        self.slots.append(job._slot)
                    on_tick(jobs)
                    if running:
                        time.sleep(_POLL_SECONDS)
            finally:
                self._stop([job for job in running if job._process], signals, grace_seconds)
            on_tick(jobs)
        if any(job.status in ('waiting', 'interrupted') for job in jobs):
            raise KeyboardInterrupt

    def _attempt(self, job: Job, step: Callable[[Job], None]) -> None:
        """Take a step of a job; what goes wrong in it fails this job and no other."""
        try:
            step(job)
        except (GridError, OSError) as error:
            job._process = None
            job.status, job.error = 'failed', str(error)
            state = read_json(job.folder / STATE)
            if state is not None:
                write_json(job.folder / STATE, {**state, 'error': job.error})

    def _begin(self, job: Job) -> None:
        try:
            newest_checkpoint(job.train_dir)
        except CheckpointError as error:
            raise GridError(f'{job.run.name}: {error}') from None
        now = identify(job.run, self.root)
        state = read_json(job.folder / STATE)
        if state is None:
            state = {
                'hashes': now.hashes,
                'parts': now.parts,
                'changed_while_running': [],
                'iterations': job.iterations,
                'train_seconds': 0.0,
                'sessions': 0,
                'trained': False,
                'commands': {},
            }
        self._note_changes(state, now)
        state['error'] = ''
        # Where the last one got damaged since, the training goes on from the one before.
        if state['trained'] and _ended(last_checkpoint(job.train_dir), state['iterations']):
            self._evaluate(job, state)
            return
        command = [
            *self.train_command,
            job.run.config,
            '--work-dir',
            str(job.train_dir),
            '--resume',
            '--cfg-options',
            *job.run.cfg_options,
        ]
        state['sessions'] += 1
        self._start(job, state, 'train', command, job.folder / 'train.log')
        job.status = 'training'

    def _evaluate(self, job: Job, state: dict) -> None:
        checkpoint = last_checkpoint(job.train_dir)
        if checkpoint is None:
            raise GridError(
                f'{job.run.name}: {job.train_dir} has no whole checkpoint, expected the '
                f"training's last one: move {job.folder} away to train it again"
            )
        split, _, tta = self.grid.split.partition('+')
        folder = job.folder / f'evaluation_{self.grid.split}'
        metrics = folder / 'metrics.json'
        folder.mkdir(exist_ok=True)
        # Left by an evaluation that was interrupted before its record was written.
        metrics.unlink(missing_ok=True)
        command = [
            *self.test_command,
            job.run.config,
            str(checkpoint),
            '--work-dir',
            str(folder),
            '--out',
            str(metrics),
            '--split',
            split,
            *(['--tta'] if tta else []),
            '--cfg-options',
            *job.run.cfg_options,
        ]
        self._start(job, state, 'test', command, job.folder / f'{folder.name}.log')
        job.status = 'evaluating'

    def _start(self, job: Job, state: dict, tool: str, command: list[str], log: Path) -> None:
        python = ['python'] if command[0] == sys.executable else command[:1]
        state['commands'][tool] = shlex.join([*python, *command[1:]])
        job.folder.mkdir(parents=True, exist_ok=True)
        write_json(job.folder / STATE, state)
        machine = _machine_file(job, tool)
        machine.unlink(missing_ok=True)
        if self.launcher:
            command = [*self.launcher, sys.executable, str(_NODE), str(machine), *command]
        environment = limit_threads(self.grid.threads)
        if self.gpus:
            environment['CUDA_VISIBLE_DEVICES'] = self.gpus[job._slot % len(self.gpus)]
        job.log, job._started = log, time.monotonic()
        with log.open('ab') as output:
            # In a session of its own, so that Ctrl-C reaches it from here only, and once. It holds
            # the lock too: a training that outlives this process still owns its folder.
            job._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
                pass_fds=[self.lock.fileno()],
            )

    def _advance(self, job: Job) -> None:
        """Go on after a process has ended: from training to evaluation, from that to the record."""
        code = job._process.returncode
        stage = 'train' if job.status == 'training' else 'test'
        tool = f'tools/{stage}.py'
        job._process = None
        state = read_json(job.folder / STATE)
        if job.status == 'training':
            self._add_seconds(job, state)
        if code != 0:
            raise GridError(self._why_ended(job, stage, code))
        if job.status == 'training':
            _check_complete(job, state['iterations'])
            state['trained'] = True
            self._note_changes(state, identify(job.run, self.root))
            self._evaluate(job, state)
            return
        metrics_file = job.folder / f'evaluation_{self.grid.split}' / 'metrics.json'
        metrics = read_json(metrics_file)
        if metrics is None:
            raise GridError(
                f'{job.run.name}: {tool} ended without writing {metrics_file}, expected its '
                f'metrics there: see {job.log}'
            )
        machine = {
            **describe_machine(job._slot % len(self.gpus) if self.gpus else None),
            **(read_json(_machine_file(job, 'train')) or {}),
            'runs_at_a_time': self.size,
            'threads': self.grid.threads,
        }
        job.record = make_record(job.run, self.grid.split, state, job.train_dir, metrics, machine)
        write_json(job.folder / result_file(self.grid.split), job.record)
        job.status = 'done'

    def _why_ended(self, job: Job, stage: str, code: int) -> str:
        machine = read_json(_machine_file(job, stage))
        tool, fix = f'tools/{stage}.py', 'call run_experiments.py again, which resumes it'
        if machine:
            tool += f' on {machine["host"]}'
        elif self.launcher:
            tool, fix = (
                f'{self.launcher[0]}, before it began tools/{stage}.py,',
                'correct --launcher',
            )
        died = f'was killed by signal {-code}' if code < 0 else f'ended with code {code}'
        if code in (-signal.SIGKILL, 128 + signal.SIGKILL):
            died += ' (signal 9 is often the out-of-memory killer)'
        return f'{job.run.name}: {tool} {died}, expected 0: see {job.log}, then {fix}'

    def _stop(self, jobs: list[Job], signals: list[int], grace_seconds: float) -> None:
        for job in jobs:
            if job._process.poll() is None:
                # At a first SIGINT, srun only tells how its tasks are.
                job._process.send_signal(signal.SIGTERM if self.launcher else signal.SIGINT)
        deadline = time.monotonic() + grace_seconds
        while any(job._process.poll() is None for job in jobs):
            if time.monotonic() > deadline or len(signals) > 1:
                break
            time.sleep(0.05)
        for job in jobs:
            try:
                # The group, for loader workers that outlive their parent.
                os.killpg(job._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            job._process.wait()
            job._process = None
            if job.status == 'training':
                state = read_json(job.folder / STATE)
                self._add_seconds(job, state)
            job.status = 'interrupted'

    @staticmethod
    def _add_seconds(job: Job, state: dict) -> None:
        state['train_seconds'] += time.monotonic() - job._started
        write_json(job.folder / STATE, state)

    @staticmethod
    def _note_changes(state: dict, now: Identity) -> None:
        changed = {kind for kind in KINDS if now.hashes[kind] != state['hashes'][kind]}
        state['changed_while_running'] = sorted(changed | set(state['changed_while_running']))


def _machine_file(job: Job, stage: str) -> Path:
    return job.folder / f'machine_{stage}.json'


def _ended(checkpoint: Path | None, iterations: int | None) -> bool:
    """Whether this is no checkpoint from before the end of a training."""
    match = checkpoint and re.fullmatch(r'iter_(\d+)\.pth', checkpoint.name)
    return not (match and iterations and int(match[1]) != iterations)


def _check_complete(job: Job, iterations: int | None) -> None:
    checkpoint = last_checkpoint(job.train_dir)
    if checkpoint is None:
        raise GridError(
            f'{job.run.name}: tools/train.py ended without a checkpoint in {job.train_dir}, '
            f'expected a whole one: give the config a CheckpointHook'
        )
    if not _ended(checkpoint, iterations):
        raise GridError(
            f'{job.run.name}: the last checkpoint is {checkpoint.name}, expected '
            f'iter_{iterations}.pth, the end of the training: let CheckpointHook save the last '
            f'iteration (save_last=True) and let nothing stop the training early'
        )
