"""The rows of ``docs/records``: the runs behind them, and what has changed since they were made.

A row keeps three hashes. None of them moves with a comment, a refactoring or another log interval:

- ``config``: what a run's config says of network, data, training and evaluation.
- ``behavior``: the dumps of the config in ``tests/dumps``, which are what the code computes: a
  change of results has to change them, and nothing else does.
- ``data``: lists, names and sizes of its files; only :mod:`.verify` reads it, where data are there.
"""

import contextlib
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config

from .grid import Grid, GridError, Run, load_grid
from .identity import config_parts, data_parts, hash_of, resolve_config

CHANGED = {'config': 'its config', 'behavior': 'what the code computes', 'data': 'its data'}
"""What a hash stands for, as a reader knows it."""
_KEYS = ('model', 'train_dataloader', 'optim_wrapper', 'param_scheduler', 'train_cfg', 'load_from')
_SPEED_ONLY = ('num_workers', 'persistent_workers', 'prefetch_factor', 'pin_memory')
_DIGITS = 12


def grid_of(record: dict) -> Grid:
    """Return the grid that a record's command runs.

    Raises:
        GridError: It is none, or the file is not what it was.
    """
    words = shlex.split(record['command'])
    if 'rows' not in record or words[1] != 'tools/run_experiments.py':
        raise GridError(
            f'{record["command"]} makes a table of another kind, expected methods by seeds of '
            f'run_experiments.py; choose another'
        )
    return load_grid(words[2])


def run_of(record: dict, row: dict, seed: int | None = None) -> Run:
    """Return a run of a row.

    Args:
        record: The record.
        row: One of its rows. It may name fewer axes than the grid does by now.
        seed: Seed of the run. Default: the first of the grid.

    Raises:
        GridError: The grid has no such run, or several.
    """
    grid = grid_of(record)
    first = grid.runs[0].seed
    found = [
        run
        for run in grid.runs
        if run.method == row['method']
        and row['axes'].items() <= run.axes.items()
        and run.seed == first
    ]
    if len(found) != 1:
        raise GridError(
            f'{grid.path} has {len(found)} points of {row["method"]} with axes {row["axes"]}, '
            f'expected 1: it has changed since the record was made'
        )
    (run,) = found
    return Run(run.method, run.config, run.axes, first if seed is None else seed, run.options)


def hashes_of(run: Run, split: str, root: str | Path, data: bool = True) -> dict[str, str | None]:
    """Return the hashes of a row as config, behavior and data are now.

    Args:
        run: Any run of the row.
        split: What it is evaluated on.
        root: Repository.
        data: Whether to look at the data.
    """
    root = Path(root)
    hashes = {
        'config': hash_of(_recipe(run, split, root))[:_DIGITS],
        'behavior': _behavior(run.config, root),
    }
    if data:
        # Without the names, which begin with the folder that one machine has its data in.
        parts = data_parts(resolve_config(run), root)
        hashes['data'] = hash_of(sorted(parts.values()))[:_DIGITS]
    return hashes


def changes(record: dict, row: dict, root: str | Path, data: bool = False) -> list[str] | None:
    """Return what has changed since a row was made, as phrases; None where nothing is known.

    Args:
        record: The record.
        row: One of its rows.
        root: Repository.
        data: Whether to look at the data, too.
    """
    if 'changed' in record:
        return [record['changed']]
    stored = row.get('hashes')
    if not stored:
        return None
    try:
        now = hashes_of(run_of(record, row), record['split'], root, data)
    except GridError:
        return ['its config, which is not there anymore']
    # A dump that came later says nothing of what was computed before.
    return [CHANGED[kind] for kind in now if stored.get(kind) not in (None, now[kind])]


def _recipe(run: Run, split: str, root: Path) -> dict[str, Any]:
    """Leaves of the config that a result depends on, data in the default folder."""
    with _default_data_folder():
        cfg = resolve_config(run)
    keys = (*_KEYS, f'{split}_dataloader', f'{split}_evaluator')
    chosen = {key: cfg[key] for key in keys if key in cfg}
    runtime = root / 'configs/_base_/default_runtime.py'
    shared = Config.fromfile(runtime).get('custom_hooks', []) if runtime.is_file() else []
    # What watches every run is no part of it.
    chosen['custom_hooks'] = [hook for hook in cfg.get('custom_hooks', []) if hook not in shared]
    return {
        key: value
        for key, value in config_parts(Config(chosen), root).items()
        if key.rpartition('.')[2] not in _SPEED_ONLY and not key.startswith('train_cfg.val_')
    }


def _behavior(config: str, root: Path) -> str | None:
    """Hash the dump of a config, or those of its method on toy scenes; None where there is none."""
    folder = root / 'tests/dumps'
    method = Path(config).stem.partition('_')[0]
    own = folder / f'{Path(config).parent.name}_{Path(config).stem}.json'
    files = [own] if own.is_file() else sorted(folder.glob(f'*_{method}_toy.json'))
    return (
        hash_of([file.read_text(encoding='utf-8') for file in files])[:_DIGITS] if files else None
    )


@contextlib.contextmanager
def _default_data_folder() -> Iterator[None]:
    """Read configs as if nobody had data elsewhere, so that their hash is that of any machine."""
    folder = os.environ.pop('CCT_MM_DATA', None)
    try:
        yield
    finally:
        if folder is not None:
            os.environ['CCT_MM_DATA'] = folder
