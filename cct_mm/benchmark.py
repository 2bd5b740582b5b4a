"""How time and memory are measured: the machinery of ``tools/benchmark.py``.

Time: the cases of a group take turns (A B C A B C ...) after some rounds of warm-up; reported are
median and quartiles over the rounds. The ratio of two cases is taken round by round and its median
reported, so that a machine that slows down meanwhile slows both. On a GPU, time is that between
two CUDA events.

Memory: each figure comes from a fresh process. On a GPU it is ``max_memory_allocated``. On a CPU it
is the kernel's high-water mark of resident memory (VmHWM), set back before each run, without the
pages of files (the libraries' code). It is not ``ru_maxrss``, the same mark, because that cannot be
set back and a new process inherits it from its parent. In this process glibc returns each block of
64 KiB or more to the system when it is freed (:data:`MALLOC`), so that the mark follows the tensors
and not malloc's history. The kernel counts pages of 4 KiB in counters that lag by some hundred
KiB: figures are good to 1 MiB.
"""

import ctypes
import gc
import json
import os
import re
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from torch import Tensor

from cct_mm.lab.grids.record import describe_machine

MALLOC = {
    'MALLOC_ARENA_MAX': '1',
    'MALLOC_MMAP_THRESHOLD_': str(2**16),
    'MALLOC_TRIM_THRESHOLD_': str(2**16),
    'MALLOC_TOP_PAD_': '0',
}
"""Environment of a memory process: what is freed goes back to the system at once."""


@dataclass
class Work:
    """Something built and ready to be computed again and again.

    Args:
        run: Computes once; returns the loss, without gradient.
        gradient_bytes: Size of the gradients of the decoders' weights that a run makes.
    """

    run: Callable[[], Tensor]
    gradient_bytes: int = 0


@dataclass
class Case:
    """One line of a table.

    Args:
        name: Unique within the command.
        build: Builds model and inputs; called only where the case is measured.
        images: Images in a run; 0 where images/s make no sense.
        above_bare: Memory is the peak over all runs above the bare process (imports done, nothing
            built). Otherwise it is the peak of a run above what is there before it: inputs,
            weights, and what libraries keep from the first run, which does not count.
        memory_runs: Runs in the memory process.
        facts: What else tells this case apart, for the JSON.
    """

    name: str
    build: Callable[[], Work]
    images: int = 0
    above_bare: bool = False
    memory_runs: int = 3
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass
class Group:
    """Cases that are built together and timed in turns.

    Args:
        cases: The cases.
        ratios: Pairs of names (a, b) whose ratio a / b is reported.
        same_loss: Pairs of names that have to compute the same loss.
    """

    cases: list[Case]
    ratios: list[tuple[str, str]]
    same_loss: list[tuple[str, str]] = field(default_factory=list)


class Bar:
    """Progress on stderr; stdout is for the tables."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn('{task.description}'),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        )

    def __enter__(self) -> 'Bar':
        self._progress.start()
        return self

    def __exit__(self, *_) -> None:
        self._progress.stop()

    def start(self, total: int) -> None:
        """Show that there are ``total`` figures to measure."""
        self._task = self._progress.add_task('', total=total)

    def advance(self, what: str) -> None:
        """Show that one more is measured, and of what."""
        self._progress.update(self._task, description=what, advance=1)


@contextmanager
def cheap_collection() -> Iterator[None]:
    """Set all objects there are now aside, so that collecting garbage before a run takes no time.

    Over the libraries' objects, a collection takes half a second.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


# Time ---------------------------------------------------------------------------------------------


def seconds_of(run: Callable[[], Tensor], device: torch.device) -> tuple[float, Tensor]:
    """Time one run: wall clock on a CPU, CUDA events on a GPU."""
    if device.type == 'cuda':
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize(device)
        start.record()
        result = run()
        end.record()
        torch.cuda.synchronize(device)
        return start.elapsed_time(end) / 1000, result
    begin = time.perf_counter()
    result = run()
    return time.perf_counter() - begin, result


def measure_times(
    works: dict[str, Work],
    device: torch.device,
    warmup: int,
    repeats: int,
    seed: int,
    advance: Callable[[str], None] = lambda name: None,
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Time works in turns.

    Args:
        works: By name.
        device: Where they run.
        warmup: Rounds that do not count.
        repeats: Rounds that do.
        seed: Of the global generators before each run, so that a model's dropout repeats itself.
        advance: Called with the name after each run.

    Returns:
        For each name its seconds, one a round, and its loss in the first round.
    """
    times: dict[str, list[float]] = {name: [] for name in works}
    losses: dict[str, float] = {}
    with cheap_collection():
        for turn in range(warmup + repeats):
            for name, work in works.items():
                gc.collect()
                torch.manual_seed(seed)
                seconds, loss = seconds_of(work.run, device)
                losses.setdefault(name, loss.item())
                if turn >= warmup:
                    times[name].append(seconds)
                advance(name)
    return times, losses


def summarize(values: Iterable[float]) -> dict[str, Any]:
    """Median and quartiles, with all values.

    Example:
        >>> summarize([4.0, 1.0, 2.0])
        {'median': 2.0, 'quartiles': [1.5, 3.0], 'all': [4.0, 1.0, 2.0]}
    """
    values = list(values)
    quartiles = [values[0]] * 3
    if len(values) > 1:
        quartiles = statistics.quantiles(values, n=4, method='inclusive')
    return {'median': statistics.median(values), 'quartiles': quartiles[::2], 'all': values}


def paired_ratio(values: Sequence[float], others: Sequence[float]) -> dict[str, Any]:
    """Summary of ``values / others``, taken round by round.

    Example:
        >>> paired_ratio([2.0, 9.0, 4.0], [1.0, 3.0, 2.0])['median']
        2.0
    """
    return summarize(value / other for value, other in zip(values, others, strict=True))


def check_same_loss(losses: dict[str, float], pairs: Iterable[tuple[str, str]]) -> None:
    """Make sure that cases compute the same before their costs are compared.

    Raises:
        ValueError: If they do not.
    """
    for one, other in pairs:
        if not abs(losses[one] - losses[other]) <= 1e-3 * abs(losses[other]):
            raise ValueError(
                f'"{one}" and "{other}" computed the losses {losses[one]:.6g} and '
                f'{losses[other]:.6g}, expected the same to rounding: their costs cannot be '
                'compared before the computation is right'
            )


# Memory -------------------------------------------------------------------------------------------


class CPUMemory:
    """Memory of this process that holds data: anonymous pages."""

    def __init__(self) -> None:
        self._trim = getattr(ctypes.CDLL(None), 'malloc_trim', lambda pad: None)
        self.was_reset = True

    def used(self) -> int:
        """Bytes that are resident now."""
        return _status()['RssAnon']

    def reset(self) -> None:
        """Return what is free to the system, and let the peak start from what is used now."""
        gc.collect()
        self._trim(0)
        try:
            Path('/proc/self/clear_refs').write_text('5')
        except OSError:  # not every kernel has it: the peak stays that since the process began
            self.was_reset = False

    def peak(self) -> int:
        """Largest number of bytes since :meth:`reset`."""
        status = _status()
        return status['VmHWM'] - status['RssFile'] - status['RssShmem']


def _status() -> dict[str, int]:
    """Read the sizes of this process in bytes.

    Raises:
        ValueError: On a system that does not tell them.
    """
    try:
        text = Path('/proc/self/status').read_text(encoding='utf-8')
    except OSError:
        text = ''
    sizes = {name: 1024 * int(size) for name, size in re.findall(r'(\w+):\s+(\d+) kB', text)}
    if missing := {'RssAnon', 'RssFile', 'RssShmem', 'VmHWM'} - sizes.keys():
        raise ValueError(
            f'/proc/self/status has no {", ".join(sorted(missing))}, expected them as on Linux; '
            'leave memory out with --only time'
        )
    return sizes


class CUDAMemory:
    """Memory that PyTorch has allocated on a GPU; see :class:`CPUMemory`."""

    was_reset = True

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def used(self) -> int:
        """Bytes that are allocated now."""
        return torch.cuda.memory_allocated(self.device)

    def reset(self) -> None:
        """Let the peak start from what is used now."""
        gc.collect()
        torch.cuda.synchronize(self.device)
        torch.cuda.reset_peak_memory_stats(self.device)

    def peak(self) -> int:
        """Largest number of bytes since :meth:`reset`."""
        torch.cuda.synchronize(self.device)
        return torch.cuda.max_memory_allocated(self.device)


def measure_memory(case: Case, device: torch.device, seed: int) -> dict[str, Any]:
    """Measure the memory of a case in this process, which should be fresh.

    Args:
        case: What to build and run.
        device: Where it runs.
        seed: See :func:`measure_times`.

    Returns:
        All in bytes: ``bytes``, the case's figure, ``beyond_gradients``, the same without the
        gradients of the decoders' weights (None for a whole step), and what they follow from:
        ``bare``, and ``before`` and ``peak`` of each run.
    """
    memory = CUDAMemory(device) if device.type == 'cuda' else CPUMemory()
    before, peak = [], []
    with cheap_collection():
        memory.reset()
        bare = memory.used()
        work = case.build()
        for _ in range(case.memory_runs):
            memory.reset()
            before.append(memory.used())
            torch.manual_seed(seed)
            work.run()
            peak.append(memory.peak())
    if case.above_bare:
        figure = max(peak) - bare
    else:
        rises = [high - low for high, low in zip(peak, before, strict=True)]
        figure = int(statistics.median(rises[1:] or rises))
    return {
        'bytes': figure,
        'beyond_gradients': None if case.above_bare else figure - work.gradient_bytes,
        'bare': bare,
        'before': before,
        'peak': peak,
        'peak_was_reset': memory.was_reset,
    }


def memory_in_fresh_process(name: str, command: Sequence[str]) -> dict[str, Any]:
    """Start a process that calls :func:`measure_memory` and prints the result as JSON.

    Args:
        name: Name of the case, for the error.
        command: The process's command line.

    Raises:
        ValueError: If the process fails.
    """
    environment = {**os.environ, **MALLOC}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ['no message'])[-1]
        if done.returncode < 0:
            last = f'ended by signal {-done.returncode}; 9 usually means that memory ran out'
        raise ValueError(f'the memory process of "{name}" failed: {last}')
    return json.loads(done.stdout.strip().splitlines()[-1])


# Report -------------------------------------------------------------------------------------------


def timed(seconds: Sequence[float], images: int = 0) -> dict[str, Any]:
    """The entry of a case that was timed.

    Args:
        seconds: Of each round.
        images: In a round; 0 where images/s make no sense.
    """
    summary = summarize(seconds)
    rate = {'images': images, 'images_per_second': images / summary['median']} if images else {}
    return {'seconds': summary, **rate}


def ratio(one: dict, other: dict) -> dict[str, Any]:
    """The ratio of two entries: time round by round, and memory.

    Memory is None where the other's is too small to be measured.
    """
    entry = {'of': one['case'], 'over': other['case']}
    if 'seconds' in one:
        entry['time'] = paired_ratio(one['seconds']['all'], other['seconds']['all'])
    if 'memory' in one:
        for key, name in (('bytes', 'memory'), ('beyond_gradients', 'memory_beyond_gradients')):
            ours, theirs = one['memory'][key], other['memory'][key]
            entry[name] = ours / theirs if ours is not None and theirs > 0 else None
    return entry


def describe(device: torch.device) -> dict[str, Any]:
    """Hardware, versions and switches that figures belong to."""
    index = device.index if device.type == 'cuda' else None
    about = describe_machine(index)
    about.update(device=str(device), threads=torch.get_num_threads())
    if hasattr(os, 'sysconf'):
        about['memory_bytes'] = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    if index is not None:
        about.update(
            cuda=torch.version.cuda,
            gpu_memory_bytes=torch.cuda.get_device_properties(index).total_memory,
            float32_matmul_precision=torch.get_float32_matmul_precision(),
            cudnn_tf32=torch.backends.cudnn.allow_tf32,
            cudnn_benchmark=torch.backends.cudnn.benchmark,
        )
    return about


def load_average() -> float | None:
    """Processes that ran over the last minute, where the system tells: was the machine quiet?"""
    return os.getloadavg()[0] if hasattr(os, 'getloadavg') else None


def tables(report: dict[str, Any]) -> str:
    """The report as Markdown.

    Args:
        report: ``results``, ``ratios``, ``machine`` (see :func:`describe`), ``load_average`` (a
            pair, before and after) and ``command``.
    """
    about, load = report['machine'], report['load_average']
    notes = [f'- {about["gpu"]}'] if about['gpu'] else []
    notes.append(
        f'- {about["cpu"]}, {about["cores"]} cores, threads: {about["threads"]}, torch '
        f'{about["torch"]}, Python {about["python"]}'
    )
    if None not in load:
        notes.append(f'- load average {load[0]:.1f} before and {load[1]:.1f} after')
    memories = [entry['memory'] for entry in report['results'] if 'memory' in entry]
    if not all(memory['peak_was_reset'] for memory in memories):
        notes.append(
            '- this kernel cannot set the peak back: memory is an upper bound, which may stem from '
            'building the model'
        )
    sections = [_case_table(report['results']), _ratio_table(report['ratios']), '\n'.join(notes)]
    sections.append(f'```bash\n{report["command"]}\n```')
    return '\n\n'.join(section for section in sections if section) + '\n'


def _case_table(results: Sequence[dict]) -> str:
    header = ['case', 'time, ms', 'quartiles', 'images/s', 'peak memory, MiB']
    header += ["beyond the weights' gradients, MiB", 'loss']
    lines = []
    for entry in results:
        seconds, memory = entry.get('seconds', {}), entry.get('memory', {})
        lines.append(
            [
                entry['case'],
                _number(seconds.get('median'), 1000),
                ' - '.join(_number(value, 1000) for value in seconds.get('quartiles', [])),
                _number(entry.get('images_per_second')),
                _number(memory.get('bytes'), 2**-20),
                _number(memory.get('beyond_gradients'), 2**-20),
                f'{entry["loss"]:.6g}' if 'loss' in entry else '',
            ]
        )
    return _markdown(header, lines)


def _ratio_table(ratios: Sequence[dict]) -> str:
    header = ['ratio', 'time', 'quartiles', 'memory', "memory beyond the weights' gradients"]
    lines = []
    for entry in ratios:
        seconds = entry.get('time', {})
        lines.append(
            [
                f'{entry["of"]} / {entry["over"]}',
                _number(seconds.get('median')),
                ' - '.join(map(_number, seconds.get('quartiles', []))),
                _number(entry.get('memory')),
                _number(entry.get('memory_beyond_gradients')),
            ]
        )
    return _markdown(header, lines)


def _number(value: float | None, scale: float = 1.0) -> str:
    """Write with at least three digits that count; empty for None."""
    if value is None:
        return ''
    value *= scale
    return f'{value:.{3 if abs(value) < 10 else 1 if abs(value) < 1000 else 0}f}'


def _markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table without the columns that are empty in all lines; nothing where there are no lines."""
    used = [i for i in range(len(header)) if any(line[i] for line in lines)]
    if not used:
        return ''
    rule = ['---' if i == 0 else '---:' for i in range(len(header))]
    rows = (header, rule, *lines)
    return '\n'.join(f'| {" | ".join(row[i] for i in used)} |' for row in rows)
