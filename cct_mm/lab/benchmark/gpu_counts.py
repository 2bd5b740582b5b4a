"""What a run makes of a GPU: kernels that it launches, and waits of the host."""

import json
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

PACKAGES = ('cct_mm', 'mmseg', 'mmengine')
"""Packages whose lines are named as the place of a wait."""

WAIT = 'synchronizing CUDA operation'
"""What PyTorch's warning of a wait says, see ``torch.cuda.set_sync_debug_mode``."""

TOP = 10
"""Number of names that a count lists."""


def count_kernels(run: Callable[[], Any], device: torch.device) -> dict[str, Any]:
    """Count what a run launches on the device, by PyTorch's profiler.

    Returns:
        See :func:`count_events`.
    """
    _synchronize(device)
    activity = ProfilerActivity.CUDA if device.type == 'cuda' else ProfilerActivity.CPU
    with profile(activities=[activity]) as profiler:
        run()
        _synchronize(device)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / 'trace.json'
        profiler.export_chrome_trace(str(file))
        events = json.loads(file.read_text(encoding='utf-8', errors='replace'))['traceEvents']
    return count_events(events)


def count_events(events: Iterable[dict]) -> dict[str, Any]:
    """Count the events of a trace that belong to the device.

    Args:
        events: Entries ``traceEvents`` of a trace in Chrome's format.

    Returns:
        ``kernels``, ``copies`` (memcpy, between host and device or within the device), ``fills``
        (memset), and ``most_launched``, the number of launches of the most frequent kernels.
    """
    names: dict[str, Counter[str]] = {
        kind: Counter() for kind in ('kernel', 'gpu_memcpy', 'gpu_memset')
    }
    for event in events:
        if event.get('cat') in names:
            names[event['cat']][event['name']] += 1
    return {
        'kernels': names['kernel'].total(),
        'copies': names['gpu_memcpy'].total(),
        'fills': names['gpu_memset'].total(),
        'most_launched': dict(names['kernel'].most_common(TOP)),
    }


def count_waits(run: Callable[[], Any], device: torch.device) -> dict[str, Any]:
    """Count the operations of a run in which the host waits for the device.

    Returns:
        ``waits``, and ``wait_places`` with the number of waits of the most frequent lines. In the
        backward pass the line is that which started it. ``torch.cuda.synchronize`` and events, on
        which a program waits on purpose, do not count.
    """
    with noted_waits() as places, sync_debug_mode('warn', device):
        run()
    return {'waits': places.total(), 'wait_places': dict(places.most_common(TOP))}


def never_waits(run: Callable[[], Any], device: torch.device) -> bool:
    """Return whether a run succeeds where waiting for the device is an error."""
    try:
        with sync_debug_mode('error', device):
            run()
    except RuntimeError as error:
        if WAIT not in str(error):
            raise
        return False
    return True


@contextmanager
def sync_debug_mode(mode: str, device: torch.device) -> Iterator[None]:
    """Let waits of the host warn (``'warn'``) or fail (``'error'``); a CPU has none."""
    if device.type != 'cuda':
        yield
        return
    _synchronize(device)
    torch.cuda.set_sync_debug_mode(mode)
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode('default')


@contextmanager
def noted_waits() -> Iterator[Counter[str]]:
    """Count PyTorch's warnings of waits by the place that they come from, instead of showing them.

    Yields:
        Number of waits by ``file:line``, see :func:`place`.
    """
    places: Counter[str] = Counter()
    with warnings.catch_warnings():
        show = warnings.showwarning

        def note(message: Warning | str, *args: Any, **kwargs: Any) -> None:
            if WAIT in str(message):
                places[place(sys._getframe(1))] += 1
            else:
                show(message, *args, **kwargs)

        warnings.filterwarnings('always', message=f'.*{WAIT}')
        warnings.showwarning = note
        yield places


def place(frame: FrameType | None) -> str:
    """Return ``file:line`` of the innermost frame that is in one of :data:`PACKAGES`.

    The benchmark itself is not such a place; it stands for what no package has called.
    """
    while frame is not None:
        parts = Path(frame.f_code.co_filename).parts
        # The last one, because the folder of a checkout may be called like the package.
        starts = [i for i, part in enumerate(parts) if part in PACKAGES]
        inside = parts[starts[-1] :] if starts else ()
        if inside and inside[:3] != ('cct_mm', 'lab', 'benchmark'):
            return f'{"/".join(inside)}:{frame.f_lineno}'
        frame = frame.f_back
    return 'benchmark'


def _synchronize(device: torch.device) -> None:
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
