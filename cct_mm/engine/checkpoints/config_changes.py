"""Compare the config of a checkpoint with the present one.

A checkpoint holds its config as the text of a Python file. The text is read as data and never run,
because a checkpoint may come from anywhere.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.registry import HOOKS

from ..run_length import run_length, schedules

TRAINING = (
    'model',
    'data_preprocessor',
    'train_dataloader',
    'val_dataloader',
    'val_evaluator',
    'train_cfg',
    'val_cfg',
    'optim_wrapper',
    'param_scheduler',
    'auto_scale_lr',
    'randomness',
    'sync_bn',
    'custom_hooks',
)
"""The keys of a config that decide what a training computes."""

WITHOUT_EFFECT = {
    # How data are loaded does not change them.
    'num_workers',
    'persistent_workers',
    'prefetch_factor',
    'pin_memory',
    'timeout',
    # Validation does not change the training.
    'val_interval',
    'val_begin',
    'dynamic_intervals',
    # The checkpoint brings every weight.
    'init_cfg',
    'pretrained',
}
"""Keys at any depth that do not change a resumed run."""

_RENAMED = {
    ('model.type', 'MultiDomainSegmentor'): 'SupervisedSegmentor',
    ('model.norm', 'per-domain'): 'domain-specific',
}
"""Former values of settings, which still go on, with those that mean the same today."""

_RESTORED = ('optim_wrapper.optimizer.', 'optim_wrapper.paramwise_cfg.', 'param_scheduler.')
_SEED = 'randomness.seed'


class _Code(str):
    """The code of a value that is no literal."""

    def __repr__(self) -> str:
        return str(self)


_ABSENT = _Code('absent')


def parse_config(text: str) -> dict[str, Any]:
    """Return the values that the text of a config assigns, without running it.

    Args:
        text: ``Config.pretty_text``.

    Raises:
        ValueError: If the text is no Python.
    """
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise ValueError(f'line {error.lineno} of the config is no Python: {error.msg}') from None
    return {
        node.targets[0].id: _value(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Dict) and None not in node.keys:
        return {
            _value(key): _value(value) for key, value in zip(node.keys, node.values, strict=True)
        }
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_value(item) for item in node.elts]
    if isinstance(node, ast.Call) and getattr(node.func, 'id', None) == 'dict':
        found = {}
        for argument in node.args:
            found |= _value(argument)
        return found | {item.arg: _value(item.value) for item in node.keywords}
    try:
        return ast.literal_eval(node)
    except ValueError:
        return _Code(ast.unparse(node))


def changes(old: Mapping, new: Mapping) -> dict[str, tuple[Any, Any]]:
    """Return the settings of a training that differ between two configs.

    Args:
        old: One config, from :func:`parse_config`.
        new: The other config, likewise.

    Returns:
        The dotted key of each setting, with its old and new value; a missing value is ``absent``.
    """
    one, other = (
        dict(_with_present_name(*leaf) for leaf in _leaves(_relevant(config)))
        for config in (old, new)
    )
    return {
        key: (one.get(key, _ABSENT), other.get(key, _ABSENT))
        for key in sorted(one.keys() | other.keys())
        if key not in one or key not in other or one[key] != other[key]
    }


def orders(config: Mapping) -> dict[str, list[str]]:
    """Return the entries whose order counts, which :func:`changes` does not compare.

    Transforms of an augmentation run in their order, and the key of an image's random numbers has
    the place of its source.

    Args:
        config: The config of a run.
    """
    dataset = (config.get('train_dataloader') or {}).get('dataset') or {}
    domains = dataset.get('domains') or {}
    return {
        'train_dataloader.dataset.augmentation': list(dataset.get('augmentation') or ()),
        'train_dataloader.dataset.domains': [
            f'{name}.{kind}' for name, sources in domains.items() for kind in sources
        ],
    }


def _with_present_name(key: str, value: Any) -> tuple[str, Any]:
    """Return a setting under the name that it has today: a new name is no change."""
    key = re.sub(r'(\.perturbations\.\d+)\.range$', r'\1.bound', key)
    return key, _RENAMED.get((key, value), value) if isinstance(value, str) else value


def _relevant(config: Mapping) -> dict[str, Any]:
    kept = {key: config[key] for key in TRAINING if config.get(key) is not None}
    key, length = run_length(config)
    by_epoch = key == 'max_epochs'
    if schedules(config):
        # mmengine lets a schedule without an end run until the training ends.
        kept['param_scheduler'] = [
            {'end': length, 'begin': 0, **item} if item.get('by_epoch', True) is by_epoch else item
            for item in schedules(config)
        ]
    # The hooks of this package do not change what is learned.
    kept['custom_hooks'] = [hook for hook in config.get('custom_hooks') or [] if not _ours(hook)]
    return kept


def _ours(hook: Mapping) -> bool:
    found = HOOKS.get(str(hook.get('type'))) if isinstance(hook, Mapping) else None
    return found is not None and found.__module__.split('.')[0] == 'cct_mm'


def _leaves(value: Any, path: str = '') -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        items = value.items()
    elif isinstance(value, list) and any(isinstance(item, (Mapping, list)) for item in value):
        items = enumerate(value)
    else:
        yield path, value
        return
    for key, item in items:
        if key not in WITHOUT_EFFECT:
            yield from _leaves(item, f'{path}.{key}' if path else str(key))


def changed_types(differing: Mapping[str, tuple], extends: bool) -> list[str]:
    """Describe the optimizer and schedules that cannot take over the state of a checkpoint.

    Args:
        differing: From :func:`changes`.
        extends: Whether the length of the run changes; schedules are then replayed without a state.
    """
    stateful = ('optim_wrapper.optimizer', *(() if extends else ('param_scheduler',)))
    return [
        f'{key}: {_short(old)} -> {_short(new)}'
        for key, (old, new) in differing.items()
        if key.startswith(stateful) and key.split('.')[-1] in ('type', key)
    ]


def describe_changes(differing: Mapping[str, tuple], extends: bool) -> str:
    """Say which changed settings take effect in a resumed run, and which do not.

    Args:
        differing: From :func:`changes`; not empty.
        extends: Whether the length of the run changes; today's learning rate then holds.
    """

    def lines(keys: list[str]) -> str:
        return ''.join(
            f'\n  {key}: {_short(differing[key][0])} -> {_short(differing[key][1])}' for key in keys
        )

    restored = [key for key in differing if key.startswith(_RESTORED) or key == _SEED]
    if extends:
        replayed = ('param_scheduler.', 'optim_wrapper.optimizer.lr')
        restored = [key for key in restored if not key.startswith(replayed)]
    applied = [key for key in differing if key not in restored]
    parts = []
    if applied:
        parts.append(
            'From now on the new ones hold, so the run matches neither the old settings nor the '
            f'new ones throughout:{lines(applied)}'
        )
    if restored:
        parts.append(
            'The new ones have NO effect, because the checkpoint brings its own (to use the new '
            f'ones, start a new run with load_from):{lines(restored)}'
        )
    return '\n'.join(parts)


def _short(value: Any, most: int = 200) -> str:
    text = repr(value)
    return text if len(text) <= most else f'{text[:most]}...'
