"""How memory is measured: on a CPU in a fresh process, on a GPU beside the times.

On a GPU a figure is ``max_memory_allocated`` in runs that follow the first ones, in which cuDNN
tries algorithms in workspaces of their own. What other cases hold is there before a case is built
and does not count; workspaces of cuBLAS, which belong to no case, are freed before.

On a CPU it is the kernel's high-water mark of resident memory (VmHWM), set back before each run,
without the pages of files (the libraries' code).
``ru_maxrss`` is the same mark, but it cannot be set back and a new process inherits it from its
parent. In the process, glibc returns each block of 64 KiB or more to the system when it is freed
(:data:`MALLOC`), so that the mark follows the tensors and not malloc's history. The kernel counts
pages of 4 KiB in counters that lag by some hundred KiB: figures are good to 1 MiB.
"""

import ctypes
import gc
import json
import os
import re
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from .cases import Case, Work
from .timing import cheap_collection

MALLOC = {
    'MALLOC_ARENA_MAX': '1',
    'MALLOC_MMAP_THRESHOLD_': str(2**16),
    'MALLOC_TRIM_THRESHOLD_': str(2**16),
    'MALLOC_TOP_PAD_': '0',
}
"""Environment of a memory process, in which freed memory goes back to the system at once."""


class CPUMemory:
    """Memory of this process that holds data, that is, its anonymous pages."""

    warm_up = False

    def __init__(self) -> None:
        self._trim = getattr(ctypes.CDLL(None), 'malloc_trim', lambda pad: None)
        self.was_reset = True

    def used(self) -> int:
        """Return the bytes that are resident now."""
        return _status()['RssAnon']

    def reset(self) -> None:
        """Return freed memory to the system, and let the peak start from what is used now."""
        gc.collect()
        self._trim(0)
        try:
            Path('/proc/self/clear_refs').write_text('5')
        except OSError:  # not every kernel can: then the peak is that since the process began
            self.was_reset = False

    def peak(self) -> int:
        """Return the largest number of bytes since :meth:`reset`."""
        status = _status()
        return status['VmHWM'] - status['RssFile'] - status['RssShmem']


def _status() -> dict[str, int]:
    """Read the sizes of this process in bytes.

    Raises:
        ValueError: The system does not tell them.
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
    """Memory that PyTorch has allocated on a GPU, measured like :class:`CPUMemory`.

    The first runs do not count: in them libraries choose their algorithms.
    """

    was_reset = True
    warm_up = True

    def __init__(self, device: torch.device) -> None:
        self.device = device
        # Each case makes them again. Left there, those of one case would be missing in the next.
        gc.collect()
        torch.cuda.synchronize(device)
        torch._C._cuda_clearCublasWorkspaces()

    def used(self) -> int:
        """Return the bytes that are allocated now."""
        return torch.cuda.memory_allocated(self.device)

    def reset(self) -> None:
        """Let the peak start from what is used now."""
        gc.collect()
        torch.cuda.synchronize(self.device)
        torch.cuda.reset_peak_memory_stats(self.device)

    def peak(self) -> int:
        """Return the largest number of bytes since :meth:`reset`."""
        torch.cuda.synchronize(self.device)
        return torch.cuda.max_memory_allocated(self.device)


def measure_memory(case: Case, device: torch.device, seed: int) -> tuple[dict[str, Any], Work]:
    """Build a case and measure its memory in this process, which on a CPU should be fresh.

    Args:
        case: What to build and run.
        device: Where it runs.
        seed: Seeds the global generators before each run.

    Returns:
        The figures and what was built. All in bytes: ``bytes``, the case's figure,
        ``beyond_gradients``, the same without the gradients of the decoders' weights (None for a
        whole step), and the measurements behind them: ``bare``, and ``before`` and ``peak`` of each
        run.
    """
    memory = CUDAMemory(device) if device.type == 'cuda' else CPUMemory()
    before, peak = [], []
    with cheap_collection():
        memory.reset()
        bare = memory.used()
        work = case.build()
        for _ in range(case.memory_runs if memory.warm_up else 0):
            torch.manual_seed(seed)
            work.run()
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
    figures = {
        'bytes': figure,
        'beyond_gradients': None if case.above_bare else figure - work.gradient_bytes,
        'bare': bare,
        'before': before,
        'peak': peak,
        'peak_was_reset': memory.was_reset,
    }
    return figures, work


def memory_in_fresh_process(name: str, command: Sequence[str]) -> dict[str, Any]:
    """Start a process that calls :func:`measure_memory` and prints the result as JSON.

    Args:
        name: Name of the case, which the error mentions.
        command: The process's command line.

    Raises:
        ValueError: The process failed.
    """
    environment = {**os.environ, **MALLOC}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ['no message'])[-1]
        if done.returncode < 0:
            last = f'ended by signal {-done.returncode}; 9 usually means that memory ran out'
        raise ValueError(f'the memory process of "{name}" failed: {last}')
    return json.loads(done.stdout.strip().splitlines()[-1])
