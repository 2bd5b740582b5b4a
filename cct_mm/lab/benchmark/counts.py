"""What a case launches: calls, kernels and waits, of a whole run and of its auxiliary part."""

from collections.abc import Callable
from typing import Any

import torch

from .calls import CallCounter
from .cases import Work
from .gpu_counts import TOP, count_kernels, count_waits, never_waits


def count_work(work: Work, device: torch.device, seed: int) -> dict[str, dict]:
    """Count what a run of a work launches.

    Args:
        work: What runs.
        device: Where it runs.
        seed: Seeds the global generators before each run.

    Returns:
        ``run`` (on a GPU) and ``auxiliary`` (where there are auxiliary decoders). Both have
        ``kernels``, ``waits`` and the like on a GPU. ``auxiliary`` has ``calls`` on any device, and
        on a GPU ``never_waits``: it has also passed where a wait is an error.
    """
    counts: dict[str, dict] = {}
    if device.type == 'cuda':
        work.run()  # The first run is unlike the others: libraries choose their algorithms.
        counts['run'] = _on_gpu(work.run, device, seed)
    if work.auxiliary:
        auxiliary = work.auxiliary()
        torch.manual_seed(seed)
        with CallCounter() as calls:
            auxiliary()
        most = dict(calls.by_name.most_common(TOP))
        counts['auxiliary'] = {'calls': calls.total, 'most_called': most}
        if device.type == 'cuda':
            counts['auxiliary'] |= _on_gpu(auxiliary, device, seed)
            counts['auxiliary']['never_waits'] = never_waits(auxiliary, device)
    return counts


def _on_gpu(run: Callable[[], Any], device: torch.device, seed: int) -> dict[str, Any]:
    counts: dict[str, Any] = {}
    for count in (count_waits, count_kernels):
        torch.manual_seed(seed)
        counts |= count(run, device)
    return counts


def in_words(counts: dict[str, dict]) -> str:
    """Return the numbers in short, such as ``kernels 3000, waits 5; auxiliary part: calls 80``."""
    parts = []
    for part, title in (('run', ''), ('auxiliary', 'auxiliary part: ')):
        numbers = {k: v for k, v in counts.get(part, {}).items() if isinstance(v, int)}
        if numbers:
            parts.append(title + ', '.join(f'{name} {number}' for name, number in numbers.items()))
    return '; '.join(parts)
