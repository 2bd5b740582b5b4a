"""What a run leaves behind: its state while it runs and one JSON record when it is finished."""

import json
import math
import platform
import statistics
from pathlib import Path
from typing import Any

import mmcv
import mmengine
import mmseg
import torch

from cct_mm.engine.checkpoints.files import CheckpointError, newest_checkpoint
from cct_mm.files import write_atomically

from .grid import GridError, Run
from .node import describe_cpu

STATE = 'state.json'


def result_file(split: str) -> str:
    """Return the name of a split's record: the test split has its own, apart from development's."""
    return 'result.json' if split == 'test' else f'result_{split}.json'


def write_json(path: str | Path, content: Any) -> None:
    """Write JSON whole or not at all."""
    write_atomically(path, json.dumps(content, indent=2, allow_nan=False) + '\n')


def read_json(path: str | Path) -> dict | None:
    """Read what :func:`write_json` wrote; None where there is no such file.

    Raises:
        GridError: The file is there and isn't JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding='utf-8'))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise GridError(
            f'{path}: not readable as JSON ({error}), expected a file written by '
            f'run_experiments.py: move the folder away to run it again'
        ) from None


def read_scalars(train_dir: str | Path) -> tuple[dict[int, dict], dict[int, dict]]:
    """Read the logged values of a training, all its sessions together.

    Args:
        train_dir: Work directory of ``tools/train.py``.

    Returns:
        Training and validation lines, each by step. A step that a resumed session repeated counts
        once, with its later line.
    """
    training, validation = {}, {}
    # The folder's name is the session's start, so sorting puts the sessions in order.
    for file in sorted(Path(train_dir).glob('*/vis_data/scalars.json')):
        for line in file.read_text(encoding='utf-8', errors='replace').splitlines():
            try:
                values = json.loads(line)
                step = int(values['step'])
            except (ValueError, KeyError, TypeError):
                continue  # the line at which a session was killed
            # Lines of validation have no 'iter'.
            (training if 'iter' in values else validation)[step] = values
    return dict(sorted(training.items())), dict(sorted(validation.items()))


def last_checkpoint(train_dir: str | Path) -> Path | None:
    """Return the newest whole checkpoint of a training, or None."""
    try:
        found = newest_checkpoint(train_dir)
    except CheckpointError:
        return None
    return found and found.path


def make_record(
    run: Run, split: str, state: dict, train_dir: str | Path, metrics: dict, machine: dict
) -> dict:
    """Return the record of a finished run.

    Args:
        run: The run.
        split: What ``metrics`` were measured on.
        state: The run's state: hashes, seconds, sessions, commands.
        train_dir: Work directory of its training.
        metrics: What ``tools/test.py`` wrote, in percent.
        machine: See :func:`describe_machine`.

    Raises:
        GridError: The metrics have no finite ``mIoU``.
    """
    miou = _finite(metrics.get('mIoU'))
    if miou is None:
        raise GridError(
            f'{run.name}: tools/test.py reported mIoU = {metrics.get("mIoU")!r}, expected a '
            f'number in percent: see its log'
        )
    training, validation = read_scalars(train_dir)
    curve = {step: _finite(values.get('mIoU')) for step, values in validation.items()}
    curve = {step: value for step, value in curve.items() if value is not None}
    last = max(curve, default=None)
    best = max(curve, key=curve.get, default=None)
    seconds = _column(training, 'time')
    return {
        'run': run.name,
        'method': run.method,
        'axes': run.axes,
        'seed': run.seed,
        'config': run.config,
        'cfg_options': list(run.options),
        'hashes': state['hashes'],
        'changed_while_running': state['changed_while_running'],
        'split': split,
        'mIoU': miou,
        'domains': _domains(metrics),
        'iterations': state['iterations'],
        'last_val': None if last is None else {'step': last, 'mIoU': curve[last]},
        'best_val': None if best is None else {'step': best, 'mIoU': curve[best]},
        'train_seconds': round(state['train_seconds'], 3),
        'sessions': state['sessions'],
        'seconds_per_iteration': statistics.median(seconds) if seconds else None,
        'peak_memory_mb': max(_column(training, 'memory'), default=None),
        'machine': machine,
        'commands': state['commands'],
    }


def describe_machine(gpu: int | None = None) -> dict[str, Any]:
    """Versions and hardware that a result was made with.

    Args:
        gpu: Index of the GPU among the visible ones, None on a CPU.
    """
    return {
        'python': platform.python_version(),
        **{package.__name__: package.__version__ for package in (torch, mmengine, mmcv, mmseg)},
        **describe_cpu(),
        'gpu': None if gpu is None else torch.cuda.get_device_name(gpu),
    }


def _finite(value: Any) -> float | None:
    """Return a number of the metrics, or None for NaN, the score of a class without any pixel."""
    if isinstance(value, (int, float)) and math.isfinite(value):
        return float(value)
    return None


def _column(lines: dict[int, dict], key: str) -> list[float]:
    values = (_finite(line.get(key)) for line in lines.values())
    return [value for value in values if value is not None]


def _domains(metrics: dict) -> dict[str, dict]:
    domains: dict[str, dict] = {}
    for key, value in metrics.items():
        domain, _, metric = key.partition('/')
        if metric == 'mIoU':
            domains.setdefault(domain, {'mIoU': None, 'IoU': {}})['mIoU'] = _finite(value)
        elif metric.startswith('IoU.'):
            classes = domains.setdefault(domain, {'mIoU': None, 'IoU': {}})['IoU']
            classes[metric.removeprefix('IoU.')] = _finite(value)
    return domains
