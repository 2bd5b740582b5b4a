"""Read configs for the tools, and check them."""

import ast
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmseg.registry import OPTIMIZERS

from .accumulation import accumulative_counts
from .config_options import merge_options, parse_options
from .config_text import config_text
from .run_length import check_length, type_name


class OwnText(Config):
    """A config whose text is :func:`.config_text.config_text`, in logs and checkpoints, too."""

    @property
    def pretty_text(self) -> str:
        """The config as Python code."""
        return config_text(self)


def read_config(path: str | Path, options: Sequence[str] | None = None) -> Config:
    """Read a config file.

    Args:
        path: The file, or ``cct_mm::NAME`` for one that is installed with this package.
        options: What ``--cfg-options`` overrides, see :mod:`.config_options`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a dict in it names a key twice, see :func:`check_repeated_keys`, or an option
            is wrong.
    """
    path = installed_path(path)
    check_repeated_keys(path)
    config = OwnText.__new__(OwnText)
    config.__setstate__(Config.fromfile(path).__getstate__())
    merge_options(config, parse_options(options))
    return config


def installed_path(path: str | Path) -> str:
    """Return the file that ``package::NAME`` stands for; other paths stay.

    Raises:
        FileNotFoundError: If the package has no such config.
    """
    try:
        found = Config._get_cfg_path(str(path), '')[0] if '::' in str(path) else str(path)
    except FileNotFoundError:
        found = ''
    if not Path(found).is_file():
        raise FileNotFoundError(
            f'config {path} does not exist, expected a file such as configs/cct/cct_toy.py, or '
            'cct_mm::cct/cct_toy.py for one that is installed with cct_mm'
        )
    return found


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
    there = {type_name(hook) for hook in config.get('custom_hooks') or []}
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


def check_training(config: Config) -> None:
    """Check values that mmengine does not check, or refuses without naming them.

    Args:
        config: Config of a training.

    Raises:
        ValueError: If a length or ``accumulative_counts`` is not a whole number above 0, the
            optimizer is unknown, the learning rate is not a number >= 0, or there is half a
            validation.
    """
    check_length(config)
    accumulative_counts(config)
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
