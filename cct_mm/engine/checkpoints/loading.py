"""Read checkpoints as data, so that none runs code unless the user allows it.

A checkpoint is a pickle, and unpickling calls whatever the file names. ``torch.load`` with
``weights_only=True`` calls only known types, but mmengine falls back to plain unpickling when it
meets another. Importing this module makes mmengine's ``CheckpointLoader`` refuse such a file
instead; ``load_from``, ``resume``, ``init_cfg`` and ``load_checkpoint`` all read by that loader.
Known are the types in the checkpoints of this package, of mmengine and of mmseg's model zoo.
"""

import argparse
import datetime
import logging
import os
import pathlib
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import HistoryBuffer, print_log
from mmengine.runner import CheckpointLoader, load_checkpoint

from .files import CheckpointError, damage

FLAG = '--trust-checkpoint'
"""The tools' option that lets a checkpoint run code."""

_trusted: set[str] = set()


def _statistic(owner: Any, name: str) -> Callable:
    """Stand in for the ``getattr`` by which mmengine's log buffers name their statistics."""
    if owner is not HistoryBuffer or name not in ('min', 'max', 'mean', 'current'):
        raise UnpicklingError(f'GLOBAL builtins.getattr for {name!r} of {owner!r}')
    return getattr(HistoryBuffer, name)


def _plain_dict(*arguments: Any) -> dict:
    """Stand in for ``defaultdict``, into which torch's reader puts no items."""
    return {}


def _plain_list(*arguments: Any) -> list:
    """Stand in for ``deque``, likewise."""
    return []


def _known() -> list[Any]:
    # The functions that rebuild arrays and scalars; their module depends on NumPy's version.
    rebuild, scalar = np.zeros(1).__reduce__()[0], np.float64(0).__reduce__()[0]
    known = [
        np.ndarray,
        np.dtype,
        *{type(np.dtype(kind)) for kind in '?bhilqBHILQefdgFDGSUOMmV'},
        HistoryBuffer,
        Config,
        ConfigDict,
        datetime.date,
        datetime.datetime,
        datetime.timedelta,
        datetime.timezone,
        argparse.Namespace,
        slice,
        range,
        frozenset,
        # The factories of a defaultdict.
        dict,
        list,
        int,
        float,
        str,
        # Names in other versions of Python, mmcv and NumPy.
        (_statistic, 'builtins.getattr'),
        (_plain_dict, 'collections.defaultdict'),
        (_plain_list, 'collections.deque'),
        (ConfigDict, 'mmcv.utils.config.ConfigDict'),
        (Config, 'mmcv.utils.config.Config'),
    ]
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        known += [(rebuild, f'{module}._reconstruct'), (scalar, f'{module}.scalar')]
    for module in ('pathlib', 'pathlib._local'):
        # Only the pure form of another operating system's path can be made here.
        for name in ('PurePosixPath', 'PureWindowsPath'):
            pure = getattr(pathlib, name)
            known += [(pure, f'{module}.{name}'), (pure, f'{module}.{name.removeprefix("Pure")}')]
    return known


KNOWN = _known()
"""Types that a checkpoint may hold besides PyTorch's own, for ``torch.serialization``."""


def trust_checkpoint(name: str | os.PathLike) -> None:
    """Let a checkpoint be read as a plain pickle, which may run code: ``--trust-checkpoint FILE``.

    Args:
        name: Its path or address, as given to the function that reads it.
    """
    _trusted.add(_identity(name))


def _identity(name: str | os.PathLike) -> str:
    name = os.fspath(name)
    return name if '://' in name else os.path.realpath(os.path.expanduser(name))


def read_checkpoint(
    path: str | os.PathLike, map_location: Any = 'cpu', mmap: bool = False
) -> dict[str, Any]:
    """Read a checkpoint file.

    Args:
        path: The file.
        map_location: As in ``torch.load``.
        mmap: Whether to leave tensors on the disk until they are used, and to skip the checks for
            damage and for nan.

    Raises:
        CheckpointError: If the file does not exist, is damaged, is no checkpoint or would run code.
    """
    path = os.path.expanduser(path)
    if not os.path.isfile(path):
        raise CheckpointError(
            f'checkpoint {path} does not exist, expected a .pth file; check the path'
        )
    with open(path, 'rb') as file:
        start = file.read(4)
    archive = start == b'PK\x03\x04'
    if not archive and not start.startswith(b'\x80'):
        with open(path, 'rb') as file:
            found = file.read(40) or 'nothing'
        raise CheckpointError(
            f'{path} is no checkpoint: it begins with {found!r}, expected a file of torch.save; '
            'copy or download it again, or name another'
        )
    if archive and not mmap and (reason := damage(path)):
        raise CheckpointError(f'checkpoint {path} {reason}; copy it again, or take another')
    mmap = mmap and archive
    trusted = _identity(path) in _trusted
    with _sentences(path), torch.serialization.safe_globals(KNOWN):
        checkpoint = torch.load(path, map_location, weights_only=not trusted, mmap=mmap)
    if not isinstance(checkpoint, dict):
        raise CheckpointError(
            f'checkpoint {path} holds a {type(checkpoint).__name__}, expected a dict of weights, '
            'such as model.state_dict() or what tools/train.py writes; save that of the network'
        )
    if not mmap and (name := not_a_number(checkpoint)):
        print_log(
            f'checkpoint {path}: {name} holds nan, expected numbers, so the predictions of this '
            'network mean nothing; take a checkpoint from before its run diverged',
            logger='current',
            level=logging.WARNING,
        )
    return _tell_classes(checkpoint)


def classes_of(checkpoint: dict[str, Any]) -> tuple[str, ...]:
    """Return the classes that mmseg, of now or of 2022, says its network was trained with."""
    meta = checkpoint.get('meta') or {}
    return tuple((meta.get('dataset_meta') or {}).get('classes') or meta.get('CLASSES') or ())


def _tell_classes(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Write the classes to the weights' metadata, where the module that loads them finds them."""
    weights, classes = checkpoint.get('state_dict'), classes_of(checkpoint)
    if classes and isinstance(weights, dict):
        metadata = getattr(weights, '_metadata', OrderedDict())
        metadata[''] = {**metadata.get('', {}), 'classes': classes}
        checkpoint['state_dict'] = OrderedDict(weights)
        checkpoint['state_dict']._metadata = metadata
    return checkpoint


def load_weights(model: torch.nn.Module, path: str | os.PathLike) -> dict[str, Any]:
    """Load a checkpoint that has every weight of a model and no others.

    Args:
        model: The model.
        path: The checkpoint.

    Returns:
        The checkpoint, with what else it holds.

    Raises:
        CheckpointError: If it is of another network, or as for :func:`read_checkpoint`.
    """
    try:
        # On the CPU, because a file of a GPU may be read where there is none.
        return load_checkpoint(model, str(path), map_location='cpu', strict=True, logger='silent')
    except RuntimeError as error:
        lines = str(error).splitlines()[:4]
        raise CheckpointError(
            f'{path} is no checkpoint of this config: ' + '\n'.join(lines)
        ) from None


def not_a_number(checkpoint: dict[str, Any]) -> str | None:
    """Name a weight of a checkpoint that holds nan; masks of attention may hold infinities."""
    weights = checkpoint.get('state_dict', checkpoint)
    for name, value in weights.items() if isinstance(weights, dict) else ():
        if isinstance(value, torch.Tensor) and value.is_floating_point() and value.isnan().any():
            return name
    return None


@contextmanager
def _sentences(name: str) -> Iterator[None]:
    """Turn torch's errors about a checkpoint into sentences."""
    try:
        yield
    except UnpicklingError as error:
        text = str(error).rpartition('WeightsUnpickler error: ')[2]
        found = re.search(r'GLOBAL (\S+)|(?:function|got|create) (<.*?>)', text)
        if not found:
            reason = next(filter(None, text.splitlines()), 'no file of torch.save')
            raise CheckpointError(
                f'checkpoint {name} cannot be read as weights ({reason}); copy or download it '
                'again, or, if you know where it comes from, let it run code while it is read with '
                f'{FLAG} {name}'
            ) from None
        raise CheckpointError(
            f'checkpoint {name} holds {found[1] or found[2]}, expected only types that are known '
            'to be harmless: reading it may run any code, so it was not read. If you know where it '
            f'comes from, allow it with {FLAG} {name}'
        ) from None
    except (CheckpointError, OSError, ImportError):
        raise
    # For damaged content torch's reader raises errors of many types.
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f'checkpoint {name} cannot be read ({reason}); copy or download it again'
        ) from error


@contextmanager
def _forced() -> Iterator[None]:
    """Make every ``torch.load`` read only data, whatever its arguments say."""
    name = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'
    before = os.environ.get(name)
    os.environ[name] = '1'
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


def _safe(loader: Callable) -> Callable:
    """Return a loader of mmengine that reads only data."""

    @wraps(loader)
    def load(filename: str, map_location: Any = None) -> dict[str, Any]:
        if _identity(filename) in _trusted:
            return _tell_classes(loader(filename, map_location))
        with _sentences(filename), _forced(), torch.serialization.safe_globals(KNOWN):
            return _tell_classes(loader(filename, map_location))

    return load


def load_from_local(filename: str, map_location: Any = None) -> dict[str, Any]:
    """Read a file for ``CheckpointLoader``, see :func:`read_checkpoint`."""
    return read_checkpoint(filename, map_location)


for _prefix, _loader in list(CheckpointLoader._schemes.items()):
    if _loader.__module__.startswith('mmengine.'):
        _loader = _safe(_loader) if _prefix else load_from_local
        CheckpointLoader.register_scheme(_prefix, _loader, force=True)
