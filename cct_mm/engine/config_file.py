"""Read configs for the tools: check them, and merge the command line's options."""

import ast
from collections.abc import Mapping
from difflib import get_close_matches
from inspect import signature
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import OPTIMIZERS

from .run_length import check_length

RUNNER_KEYS = ('auto_scale_lr', 'compile', 'find_unused_parameters', 'model_wrapper_cfg', 'sync_bn')
"""Entries of a config that mmengine's runner reads in addition to its arguments."""


class FormattedOnce(Config):
    """A config whose text is formatted only once.

    mmengine formats the text for the log, for each writer and for each checkpoint, and each time
    takes seconds.
    """

    _texts: dict[str, str] = {}

    @property
    def pretty_text(self) -> str:
        """The config as Python code."""
        content = repr(self.to_dict())
        if content not in self._texts:
            self._texts[content] = super().pretty_text
        return self._texts[content]


def read_config(path: str | Path) -> Config:
    """Read a config file.

    Args:
        path: The file.

    Raises:
        ValueError: If a dict in it names a key twice, see :func:`check_repeated_keys`.
    """
    check_repeated_keys(path)
    config = FormattedOnce.__new__(FormattedOnce)
    config.__setstate__(Config.fromfile(path).__getstate__())
    return config


HOOKS = (
    'TrainingProgressHook',
    'DomainCheckHook',
    'AgreementHook',
    'DataCheckHook',
    'DivergenceHook',
    'PooledNormsHook',
    'LostValidationHook',
)
"""This package's hooks in ``custom_hooks`` of ``configs/_base_/default_runtime.py``."""


def missing_hooks(config: Config) -> str:
    """Name this package's hooks that a config has lost by setting ``custom_hooks`` anew.

    Returns:
        A sentence, or '' if none is missing.
    """
    there = {str(hook.get('type')) for hook in config.get('custom_hooks') or []}
    missing = [name for name in HOOKS if name not in there]
    if not missing:
        return ''
    return (
        f'custom_hooks has no {", no ".join(missing)}, so this run goes without what they check '
        'and do; expected those of configs/_base_/default_runtime.py: add a hook of your own with '
        "custom_hooks=[*_base_.custom_hooks, dict(type='...')], or name them all"
    )


def check_repeated_keys(path: str | Path) -> None:
    """Check that no dict in a config file or its ``_base_`` files names a key twice.

    Python silently keeps only the last value, so one of two domains with the same name would
    vanish. mmengine reports files that cannot be read here.

    Args:
        path: The config file.

    Raises:
        ValueError: If a dict does, as in ``{'a': 1, 'a': 2}``, or if a file is not valid Python.
    """
    path = Path(path)
    if path.suffix != '.py' or not path.is_file():
        return
    try:
        tree = ast.parse(path.read_text(encoding='utf-8'))
    except SyntaxError as error:
        raise ValueError(
            f'{path}, line {error.lineno}: {error.msg}, expected a config in Python; correct this '
            f'line or the one before: {(error.text or "").strip()}'
        ) from None
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            _check_dict(node, path)
    for base in _base_files(tree):
        check_repeated_keys(path.parent / base)


def _check_dict(node: ast.Dict, path: Path) -> None:
    lines = {}
    for key in node.keys:
        if not isinstance(key, ast.Constant):
            continue
        if key.value in lines:
            raise ValueError(
                f'{path}, line {key.lineno}: the key {key.value!r} is in this dict already, from '
                f'line {lines[key.value]}, expected it once, because Python would keep only the '
                'last; rename or remove one'
            )
        lines[key.value] = key.lineno


def _base_files(tree: ast.Module) -> list[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', None) == '_base_':
            try:
                files = ast.literal_eval(node.value)
            except ValueError:
                return []
            return [files] if isinstance(files, str) else list(files)
    return []


REFERENCE = '_base_.'
"""Begins an option's value that names another entry of the config, as in a config file."""


def merge_options(config: Config, options: Mapping[str, Any] | None) -> None:
    """Override entries of a config, as ``--cfg-options`` asks for.

    A value ``_base_.NAME``, also ``_base_.NAME.KEY`` or an item of a list, stands for the config's
    own entry of that name and takes the place of what was there:
    ``train_dataloader.dataset.domains.camvid=_base_.camvid_n50``.

    Args:
        config: The config.
        options: Dotted key -> value, or None.

    Raises:
        ValueError: If an option's first key is none of the config's, nor one that mmengine knows: a
            typing error would otherwise change nothing, without a word. Also if a reference names
            no entry, or a dict that would be one item of a list.
    """
    if not options:
        return
    known = {*config.keys(), *signature(Runner.__init__).parameters, *RUNNER_KEYS}
    for option in options:
        first = option.partition('.')[0]
        if first not in known:
            near = get_close_matches(first, known, n=1)
            meant = f', did you mean {near[0]}?' if near else '.'
            raise ValueError(
                f'--cfg-options {option}: the config has no {first!r}{meant} Expected one of '
                f'{", ".join(sorted(config.keys()))}'
            )
    config.merge_from_dict(
        {option: _replacement(config, option, value) for option, value in options.items()}
    )


def _replacement(config: Config, option: str, value: Any) -> Any:
    """Return what an option sets, so that mmengine puts it in the place of what was there."""
    found = _resolved(config, option, value)
    if not isinstance(found, dict) or found is value:
        return found
    *parents, last = option.split('.')
    place = config
    for key in parents:
        if isinstance(place, list):
            place = place[int(key)] if key.isdigit() and int(key) < len(place) else None
        else:
            place = place.get(key) if isinstance(place, (Config, dict)) else None
    if isinstance(place, list):
        raise ValueError(
            f'--cfg-options {option}={value}: the value is a dict and {last} an item of a list, '
            f'with which mmengine would merge it; set the whole list: {".".join(parents)}=[...]'
        )
    # mmengine takes the mark out only where the key is there.
    is_there = isinstance(place, (Config, dict)) and last in place
    return {'_delete_': True, **found} if is_there else found


def _resolved(config: Config, option: str, value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(_resolved(config, option, item) for item in value)
    if not isinstance(value, str) or not value.startswith(REFERENCE):
        return value
    found, before = config.to_dict(), REFERENCE
    for key in value.removeprefix(REFERENCE).split('.'):
        if not isinstance(found, dict) or key not in found:
            names = sorted(map(str, found)) if isinstance(found, dict) else []
            near = get_close_matches(key, names, n=1)
            meant = f'; did you mean {before}{near[0]}?' if near else ''
            where = 'the config' if before == REFERENCE else before.removesuffix('.')
            expected = f', expected one of {", ".join(names)}' if names else ''
            raise ValueError(
                f'--cfg-options {option}={value}: {where} has no entry {key!r}{expected}{meant}'
            )
        found, before = found[key], f'{before}{key}.'
    return found


def check_training(config: Config) -> None:
    """Check values that mmengine does not check, or refuses without naming them.

    Args:
        config: Config of a training.

    Raises:
        ValueError: If a length is not a whole number above 0, the optimizer is unknown, the
            learning rate is not a number >= 0, or there is half a validation.
    """
    check_length(config)
    _check_validation(config)
    optimizer = (config.get('optim_wrapper') or {}).get('optimizer') or {}
    name = optimizer.get('type')
    # For a name with a dot the registry imports another package.
    if isinstance(name, str) and '.' not in name and OPTIMIZERS.get(name) is None:
        raise ValueError(
            f'optim_wrapper.optimizer.type is {name!r}, expected a known optimizer such as SGD or '
            'AdamW; to use your own, register it in a module listed in custom_imports'
        )
    rate = optimizer.get('lr')
    if rate is not None and not (isinstance(rate, (int, float)) and rate >= 0):
        raise ValueError(
            f'optim_wrapper.optimizer.lr is {rate!r}, expected a learning rate, a number >= 0'
        )


def _check_validation(config: Config) -> None:
    """Check that a config has a whole validation or none."""
    keys = ('val_dataloader', 'val_cfg', 'val_evaluator')
    missing = [key for key in keys if config.get(key) is None]
    dataset = (config.get('val_dataloader') or {}).get('dataset') or {}
    problem = None
    if 0 < len(missing) < len(keys):
        problem = f'there is no {" and no ".join(missing)}, which a validation needs'
    elif dataset.get('type') == 'MultiDomainDataset' and not dataset.get('domains'):
        problem = 'val_dataloader names no domains, whose images a validation needs'
    if problem:
        raise ValueError(
            f'{problem}; set val_dataloader=dict(dataset=dict(domains=...)), or to train without '
            f'validation {"=None, ".join(keys)}=None'
        )
