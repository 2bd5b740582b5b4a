"""The rows of ``docs/records``: the runs behind them, and what has changed since they were made.

A row keeps four hashes. The first two decide whether a table marks it; they do not move with a
comment, a refactoring or another log interval. The last two are for a run that shall be the same
to the last digit, see :mod:`.verify`:

- ``config``: what a run's config says of network, data, training and evaluation.
- ``behavior``: of the dumps of its config in ``tests/dumps``, which hold what the code computes: a
  change of results has to change them, and nothing else does.
- ``code``: every source file that a run may use.
- ``data``: lists of images, names and sizes of the files.
"""

import contextlib
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config

from .grid import Grid, GridError, Run, load_grid
from .identity import code_parts, config_parts, data_parts, hash_of, resolve_config

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


def hashes_of(run: Run, split: str, root: str | Path) -> dict[str, Any]:
    """Return the hashes of a row, with config, dumps and data as they are now.

    Args:
        run: Any run of the row.
        split: What it is evaluated on.
        root: Repository.
    """
    return {
        'config': _config_hash(run, split, root),
        'behavior': {name: _dump_hash(root, name) for name in _dumps(run.config, root)},
        'code': _code_hash(root),
        'data': _data_hash(run, root),
    }


def changes(record: dict, row: dict, root: str | Path, exactly: bool = False) -> list[str] | None:
    """Return what has changed since a row was made, as phrases; None where nothing is known.

    Args:
        record: The record.
        row: One of its rows.
        root: Repository.
        exactly: Whether every source file counts, and the data, which have to be there.
    """
    if 'changed' in record:
        return [record['changed']]
    stored = row.get('hashes')
    if not stored:
        return None
    try:
        run = run_of(record, row)
        config = _config_hash(run, record['split'], root)
    except GridError:
        return ['its config, which is not there anymore']
    found = ['its config'] if config != stored['config'] else []
    # Those of then: a dump that came later says nothing of what was computed before it.
    if any(_dump_hash(root, name) != one for name, one in stored['behavior'].items()):
        found.append('what the code computes')
    if exactly and stored.get('code') != _code_hash(root):
        found.append('source files')
    if exactly and stored.get('data') != _data_hash(run, root):
        found.append('its data')
    return found


def _config_hash(run: Run, split: str, root: str | Path) -> str:
    return hash_of(_recipe(run, split, Path(root)))[:_DIGITS]


def _code_hash(root: str | Path) -> str:
    return hash_of(code_parts(root))[:_DIGITS]


def _data_hash(run: Run, root: str | Path) -> str:
    # Without the names, which begin with the folder that one machine has its data in.
    return hash_of(sorted(data_parts(resolve_config(run), Path(root)).values()))[:_DIGITS]


def _dumps(config: str, root: str | Path) -> list[str]:
    """Return the dump of a config, or else those of its method on toy scenes, if there are some."""
    folder, name = Path(root) / 'tests/dumps', Path(config).stem
    own = folder / f'{Path(config).parent.name}_{name}.json'
    files = [own] if own.is_file() else sorted(folder.glob(f'*_{name.partition("_")[0]}_toy.json'))
    return [file.name for file in files]


def _dump_hash(root: str | Path, name: str) -> str | None:
    file = Path(root) / 'tests/dumps' / name
    return hash_of(file.read_text(encoding='utf-8'))[:_DIGITS] if file.is_file() else None


def _recipe(run: Run, split: str, root: Path) -> dict[str, Any]:
    """Leaves of the config that a result depends on, data in the default folder."""
    with _default_data_folder():
        cfg = resolve_config(run)
    # 'test+tta' is of the same images as 'test', in several sizes.
    images, _, several = split.partition('+')
    keys = (*_KEYS, f'{images}_dataloader', f'{images}_evaluator')
    keys += ('tta_model', 'tta_pipeline') if several else ()
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


@contextlib.contextmanager
def _default_data_folder() -> Iterator[None]:
    """Read configs as if nobody had data elsewhere, so that their hash is that of any machine."""
    folder = os.environ.pop('CCT_MM_DATA', None)
    try:
        yield
    finally:
        if folder is not None:
            os.environ['CCT_MM_DATA'] = folder
