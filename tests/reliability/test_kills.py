"""Trainings killed at any point end, resumed, bit for bit as if nothing had happened.

Kill -9 leaves a process no time for anything, as the system's out-of-memory killer, a job's time
limit and a loss of power do.
"""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import PIL.Image
import pytest
from bad_inputs import CLASSIFIER, Lab, logged, same_weights
from fork_server import ROOT, wait_until

ITERATIONS = 8
KINDS = (
    ['at any time'] * 32
    + ['while a checkpoint is written'] * 12
    + ['one of two processes'] * 4
    + ['all of torchrun'] * 2
)
QUICK = {0, 1, 33}
"""Numbers of the kills that are in ``make test``, too."""


class Training:
    """A training of eight iterations, with validation and checkpoints in between.

    Args:
        lab: Where.
        interval: Iterations between two checkpoints, of which one is kept, and the best.
        num_workers: Processes that load images.
        processes: Processes that train.
    """

    def __init__(self, lab: Lab, interval: int = 1, num_workers: int = 0, processes: int = 1):
        self.lab, self.processes, self.sessions = lab, processes, 0
        self.options = [
            f'train_cfg.max_iters={ITERATIONS}',
            f'param_scheduler.0.end={ITERATIONS}',
            'train_cfg.val_interval=3',
            f'default_hooks.checkpoint.interval={interval}',
            'default_hooks.checkpoint.max_keep_ckpts=1',
            'default_hooks.checkpoint.save_best=mIoU',
            f'train_dataloader.num_workers={num_workers}',
        ]

    def arguments(self) -> list[str]:
        return [str(self.lab.config), '--work-dir', str(self.lab.work), '--resume']

    def start(self):
        """Start or resume it; return its processes."""
        self.sessions += 1
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            port = free.getsockname()[1]
        started = []
        for rank in range(self.processes):
            environment, launcher = {}, []
            if self.processes > 1:
                environment = dict(
                    RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(self.processes),
                    MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port),
                )  # fmt: skip
                launcher = ['--launcher', 'pytorch']
            started.append(
                self.lab.server.start(
                    self.lab.root / f'log{rank}-{self.sessions}',
                    ROOT / 'tools/train.py',
                    *self.arguments(),
                    *launcher,
                    '--cfg-options',
                    *self.options,
                    environment=environment,
                )
            )
        return started

    def torchrun(self) -> subprocess.Popen:
        """Start or resume it as users do on two processes."""
        self.sessions += 1
        command = ['-m', 'torch.distributed.run', '--nproc_per_node=2', '--master_port=0']
        command += ['--rdzv_backend=c10d', '--rdzv_endpoint=127.0.0.1:0', 'tools/train.py']
        options = ['--launcher', 'pytorch', '--cfg-options', *self.options]
        with open(self.lab.root / f'log-{self.sessions}', 'w') as log:
            return subprocess.Popen(
                [sys.executable, *command, *self.arguments(), *options],
                cwd=ROOT, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''},
            )  # fmt: skip

    def finish(self) -> None:
        """Resume it to its end."""
        for tool in self.start():
            assert tool.wait(120) == 0, tool.output[-3000:]

    @property
    def end(self) -> Path:
        return self.lab.work / f'iter_{ITERATIONS}.pth'


@pytest.fixture(scope='module')
def undisturbed(shared, tmp_path_factory):
    """A run without a kill for each number of processes, and the seconds that it took."""
    found = {}
    # Not to be measured: the first start of the server.
    assert shared.trained

    def get(processes: int, interval: int) -> tuple[Training, float]:
        # Two processes make their norms' statistics one at each checkpoint.
        key = processes, interval if processes > 1 else 1
        if key not in found:
            folder = tmp_path_factory.mktemp(f'undisturbed{processes}') / 'it'
            training = Training(Lab(folder, shared.server, shared), key[1], processes=processes)
            started = time.monotonic()
            training.finish()
            found[key] = training, time.monotonic() - started
        return found[key]

    return get


@pytest.fixture
def lab(shared, tmp_path):
    return Lab(tmp_path / 'it', shared.server, shared)


def assert_ends_alike(training: Training, expected: Training) -> None:
    """Hold weights, optimizer, logs and the best checkpoint to those of an undisturbed run."""
    same_weights(training.end, expected.end)
    # The log of an iteration that was computed twice has to be the same both times, too.
    losses, metrics = logged(training.lab.work)
    wanted, wanted_metrics = logged(expected.lab.work)
    assert losses == wanted
    assert metrics == wanted_metrics
    left = {path.name for path in training.lab.work.rglob('*') if path.is_file()}
    assert not [name for name in left if 'unfinished' in name or 'tmp' in name]
    best = sorted(name for name in left if name.startswith('best'))
    assert best == sorted(path.name for path in expected.lab.work.glob('best*'))
    for name in best:
        same_weights(training.lab.work / name, expected.lab.work / name)


def files_of(work: Path) -> set[tuple[str, int]]:
    """Names and numbers of the files of a work dir; a file that is written anew has another."""
    try:
        return {(entry.name, entry.inode()) for entry in os.scandir(work) if entry.is_file()}
    except FileNotFoundError:
        return set()


def checkpoint_begins(work: Path, number: int):
    """A condition: the number-th file of a checkpoint has just appeared, whatever its name."""
    seen: set[tuple[str, int]] = set()

    def condition() -> bool:
        seen.update(file for file in files_of(work) if 'pth' in file[0])
        return len(seen) >= number

    return condition


def kill(training: Training, kind: str, draw: random.Random, seconds: float) -> str:
    """Start a training and kill it; return where."""
    work = training.lab.work
    if kind == 'all of torchrun':
        process = training.torchrun()
        number = draw.randint(1, ITERATIONS)
        assert wait_until(checkpoint_begins(work, number), 180), 'no checkpoint'
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return f'as file {number} of a checkpoint appeared'
    tools = training.start()
    if kind == 'while a checkpoint is written':
        number = draw.randint(1, ITERATIONS)
        assert wait_until(checkpoint_begins(work, number), 60, pause=0), 'no checkpoint'
        # From its first bytes to its new name.
        time.sleep(draw.choice([0, 0.0005, 0.001, 0.002, 0.004, 0.008]))
        point = f'as file {number} of a checkpoint appeared'
    else:
        delay = draw.uniform(0.02, 0.98) * seconds
        point = f'after {delay:.2f} s of {seconds:.2f}'
        time.sleep(delay)
    victim = draw.choice(tools)
    victim.kill(group=draw.random() < 0.5)
    victim.wait()
    for tool in tools:
        # The other process of two has nothing more to do.
        if tool is not victim and tool.wait(2) is None:
            tool.kill(group=True)
            tool.wait()
    return point


def kills():
    for number, kind in enumerate(KINDS):
        marks = [pytest.mark.counted('kill -9 of a training', cause=kind)]
        if number not in QUICK:
            marks.append(pytest.mark.soak)
        yield pytest.param(number, kind, marks=marks, id=f'{number}-{kind.replace(" ", "-")}')


@pytest.mark.slow
@pytest.mark.parametrize(('number', 'kind'), list(kills()))
def test_killed_training_ends_like_an_undisturbed_one(lab, undisturbed, number, kind, capfd):
    draw = random.Random(number)
    processes = 2 if 'two' in kind or 'torchrun' in kind else 1
    interval = draw.choice([1, 2])
    training = Training(lab, interval, draw.choice([0, 2]), processes)
    expected, seconds = undisturbed(processes, interval)
    point = kill(training, kind, draw, seconds)
    there = sorted(path.name for path in lab.work.glob('*.pth')) if lab.work.exists() else []
    training.finish()
    assert_ends_alike(training, expected)
    with capfd.disabled():
        print(f'\nkill {number}: {kind}, {point}; left {there}: ends alike', end='', flush=True)


@pytest.mark.slow
@pytest.mark.counted('faults', cause='killed loader worker')
def test_killed_loader_worker_ends_the_run_with_a_sentence(lab, undisturbed):
    training = Training(lab, num_workers=2)
    (tool,) = training.start()

    def workers() -> list[int]:
        path = Path(f'/proc/{tool.pid}/task/{tool.pid}/children')
        return [int(pid) for pid in path.read_text().split()]

    assert wait_until(lambda: (lab.work / 'last_checkpoint').exists() and workers(), 60)
    os.kill(workers()[0], signal.SIGKILL)
    assert tool.wait(60) not in (0, None)
    assert 'worker' in tool.output[-1000:].lower(), tool.output[-2000:]
    assert 'kill' in tool.output[-1000:].lower(), tool.output[-2000:]
    training.finish()
    assert_ends_alike(training, undisturbed(1, 1)[0])


@pytest.mark.soak
@pytest.mark.counted('faults', cause='killed tool that makes pseudo-labels')
@pytest.mark.parametrize('number', range(5))
def test_killed_pseudo_labels_end_with_the_same_files(lab, number):
    draw = random.Random(number)
    for i in range(30):
        shutil.copy(lab.image('u0'), lab.data / f'images/w{i}.png')
    (lab.data / 'unlabeled.txt').write_text(''.join(f'images/w{i}.png\n' for i in range(30)))
    lab.trained_classifier()
    labels = {f'w{i}': ['leaf', 'stem'][: i % 3] for i in range(30)}
    (lab.data / 'labels.json').write_text(str(labels).replace("'", '"'))
    assert CLASSIFIER in lab.config.read_text()

    def start(out):
        return lab.server.start(
            lab.root / 'log', ROOT / 'tools/gen_pseudo_labels.py', lab.config, lab.checkpoint,
            '--no-crf', '--workers', '1', '--scales', '1', '--out', lab.root / out,
        )  # fmt: skip

    killed = start('killed')
    written = draw.randint(1, 25)
    folder = lab.root / 'killed'
    assert wait_until(lambda: len(list(folder.rglob('*.png'))) >= written, 60)
    killed.kill()
    for out in ('killed', 'whole'):
        tool = start(out)
        assert tool.wait(120) == 0, tool.output[-2000:]
    found, expected = (
        {path.relative_to(lab.root / out): path for path in (lab.root / out).rglob('*.png')}
        for out in ('killed', 'whole')
    )
    assert found.keys() == expected.keys()
    assert len(found) == 30
    for name, path in expected.items():
        assert PIL.Image.open(found[name]).tobytes() == PIL.Image.open(path).tobytes(), name


@pytest.mark.soak
@pytest.mark.counted('faults', cause='killed grid')
def test_killed_grid_completes(lab):
    (lab.root / 'grid.yaml').write_text(
        f'name: tiny\nmethods: {{one: {lab.config}}}\nbaseline: one\nseeds: [0, 1]\nthreads: 1\n'
    )
    command = [sys.executable, 'tools/run_experiments.py', str(lab.root / 'grid.yaml')]
    command += ['--work-dir', str(lab.root / 'grids'), '--jobs', '1']
    process = subprocess.Popen(
        command, cwd=ROOT, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert wait_until(lambda: list((lab.root / 'grids').glob('*/*/train/last_checkpoint')), 120)
    process.kill()
    process.wait()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((lab.root / 'grids').glob('*/*/result.json'))) == 2
