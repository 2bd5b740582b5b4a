"""What is reported: medians, quartiles, ratios and the machine, as Markdown tables.

The ratio of two cases is taken round by round and its median reported.
"""

import os
import statistics
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from cct_mm.lab.grids.record import describe_machine
from cct_mm.lab.markdown import markdown_table


def say(line: str) -> None:
    """Write a line to stderr at once; stdout is for the table."""
    print(line, file=sys.stderr, flush=True)


def summarize(values: Iterable[float]) -> dict[str, Any]:
    """Return median and quartiles, with all values.

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
    """Summarize ``values / others``, taken round by round; a last round may be incomplete.

    Example:
        >>> paired_ratio([2.0, 9.0, 4.0], [1.0, 3.0, 2.0])['median']
        2.0
    """
    return summarize(value / other for value, other in zip(values, others, strict=False))


def timed(seconds: Sequence[float], images: int = 0) -> dict[str, Any]:
    """Return the entry of a case that was timed.

    Args:
        seconds: Seconds of each round.
        images: Images in a round; 0 if images/s make no sense.
    """
    summary = summarize(seconds)
    rate = {'images': images, 'images_per_second': images / summary['median']} if images else {}
    return {'seconds': summary, **rate}


def ratio(one: dict, other: dict) -> dict[str, Any]:
    """Return the ratio of two entries: their times round by round, and their memory.

    What was measured of one alone has no ratio. A ratio of memory is None if the other's is too
    small to be measured.
    """
    entry = {'of': one['case'], 'over': other['case']}
    if 'seconds' in one and 'seconds' in other:
        entry['time'] = paired_ratio(one['seconds']['all'], other['seconds']['all'])
    if 'memory' in one and 'memory' in other:
        for key, name in (('bytes', 'memory'), ('beyond_gradients', 'memory_beyond_gradients')):
            ours, theirs = one['memory'][key], other['memory'][key]
            entry[name] = ours / theirs if ours is not None and theirs > 0 else None
    return entry


def describe(device: torch.device) -> dict[str, Any]:
    """Describe hardware, versions and switches that the figures belong to."""
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
    """Return how many processes ran over the last minute: was the machine quiet?"""
    return os.getloadavg()[0] if hasattr(os, 'getloadavg') else None


def tables(report: dict[str, Any]) -> str:
    """Write the report as Markdown.

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
    header += ['kernels', 'host waits', 'auxiliary part: calls', 'kernels', 'host waits']
    lines = []
    for entry in results:
        seconds, memory = entry.get('seconds', {}), entry.get('memory', {})
        run, auxiliary = (entry.get('counts', {}).get(part, {}) for part in ('run', 'auxiliary'))
        lines.append(
            [
                entry['case'],
                _number(seconds.get('median'), 1000),
                ' - '.join(_number(value, 1000) for value in seconds.get('quartiles', [])),
                _number(entry.get('images_per_second')),
                _number(memory.get('bytes'), 2**-20),
                _number(memory.get('beyond_gradients'), 2**-20),
                f'{entry["loss"]:.6g}' if 'loss' in entry else '',
                *(str(run.get(name, '')) for name in ('kernels', 'waits')),
                *(str(auxiliary.get(name, '')) for name in ('calls', 'kernels', 'waits')),
            ]
        )
    return _without_empty_columns(header, lines)


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
    return _without_empty_columns(header, lines)


def _number(value: float | None, scale: float = 1.0) -> str:
    """Write a number with at least three significant digits, and None as nothing."""
    if value is None:
        return ''
    value *= scale
    return f'{value:.{3 if abs(value) < 10 else 1 if abs(value) < 1000 else 0}f}'


def _without_empty_columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    used = [i for i in range(len(header)) if any(row[i] for row in rows)]
    if not used:
        return ''
    return markdown_table([header[i] for i in used], [[row[i] for i in used] for row in rows])
