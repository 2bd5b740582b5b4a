"""What differs between the config that a checkpoint was trained with and that of today.

The checkpoint holds its config as the text of a Python file. It is read here as data, and never
run: a checkpoint comes from anywhere.
"""

import ast
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.registry import HOOKS

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
    # Where data are loaded does not change which.
    'num_workers',
    'persistent_workers',
    'prefetch_factor',
    'pin_memory',
    'timeout',
    # When a run looks at itself.
    'val_interval',
    'val_begin',
    'dynamic_intervals',
    # The checkpoint brings every weight.
    'init_cfg',
    'pretrained',
}
"""Keys below those that change nothing about a run that goes on."""

_ABSENT = 'absent'
_WARM_UPS = ('Linear', 'Constant')


class _Code(str):
    """Code of a value that is no literal; equal if it is the same text."""

    def __repr__(self) -> str:
        return str(self)


def parse_config(text: str) -> dict[str, Any]:
    """Return the values that the text of a config assigns, without running it.

    Args:
        text: ``Config.pretty_text``.

    Raises:
        ValueError: If it is no Python.
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


def run_length(config: Mapping) -> tuple[str, int | None]:
    """Return the name of the key that says how long a training is, and its value.

    Args:
        config: A config, or what :func:`parse_config` made of one.
    """
    train = config.get('train_cfg') or {}
    key = 'max_epochs' if 'max_epochs' in train or train.get('by_epoch') else 'max_iters'
    return key, train.get(key)


def check_length(config: Mapping) -> None:
    """Check the numbers that say how long a training is, and how often it validates.

    Args:
        config: A config with a ``train_cfg``.

    Raises:
        ValueError: If one is no whole number above 0.
    """
    train = config.get('train_cfg') or {}
    for key in ('max_iters', 'max_epochs', 'val_interval'):
        value = train.get(key, 1)
        if not isinstance(value, (int, float)) or value < 1 or value != int(value):
            raise ValueError(
                f'train_cfg.{key} is {value!r}, expected a whole number above 0; correct it in '
                'the config or on the command line'
            )


def schedules(config: Mapping) -> list[Mapping]:
    """Return the learning-rate and other schedules of a config, of all its optimizers."""
    found = config.get('param_scheduler') or []
    if isinstance(found, Mapping):
        found = [found] if 'type' in found else list(found.values())
    flat = []
    for item in found:
        flat += item if isinstance(item, (list, tuple)) else [item]
    return [item for item in flat if isinstance(item, Mapping)]


def early_end(config: Mapping) -> str:
    """Say where the last schedule ends, if that is not where the training ends.

    Args:
        config: The config of a run.

    Returns:
        A sentence, empty where they agree.
    """
    key, length = run_length(config)
    by_epoch = key == 'max_epochs'
    own = [
        item
        for item in schedules(config)
        # A constant rate may follow a warm-up.
        if item.get('by_epoch', True) is by_epoch and not item['type'].startswith(_WARM_UPS)
    ]
    if length is None or not own:
        return ''
    last = max(own, key=lambda item: item.get('end', length))
    if last.get('end', length) == length:
        return ''
    return (
        f'the last schedule ({last["type"]}) ends at {last["end"]}, the training at '
        f'{key}={length}: leave `end` out of param_scheduler, which then follows train_cfg.{key}'
    )


def stretch(config: Mapping, old: int, new: int) -> list[str]:
    """Let the schedules that end where a training of another length does end with this one.

    Args:
        config: The config, which is changed.
        old: Length of the other training.
        new: Length of this one.

    Returns:
        What was changed, in words.
    """
    changes = []
    for item in schedules(config):
        if item.get('end') != old:
            continue
        begin = item.get('begin', 0)
        # Cosine and one-cycle schedules know their length by these names.
        for key, before, after in (
            ('end', old, new),
            ('T_max', old - begin, new - begin),
            ('total_steps', old - begin, new - begin),
        ):
            if item.get(key) == before:
                item[key] = after
                changes.append(f'{item["type"]}.{key} {before} -> {after}')
    return changes


def changes(old: Mapping, new: Mapping) -> dict[str, tuple[Any, Any]]:
    """Return what matters to a training and differs between two configs.

    Args:
        old: What :func:`parse_config` made of one.
        new: The same of the other.

    Returns:
        The key, with dots, -> the value in each; a value that one lacks is ``absent``.
    """
    one, other = (dict(_leaves(_relevant(config))) for config in (old, new))
    return {
        key: (one.get(key, _Code(_ABSENT)), other.get(key, _Code(_ABSENT)))
        for key in sorted(one.keys() | other.keys())
        if key not in one or key not in other or one[key] != other[key]
    }


def _relevant(config: Mapping) -> dict[str, Any]:
    kept = {key: config[key] for key in TRAINING if config.get(key) is not None}
    key, length = run_length(config)
    by_epoch = key == 'max_epochs'
    if schedules(config):
        # mmengine gives a schedule without an end that of the training.
        kept['param_scheduler'] = [
            {'end': length, 'begin': 0, **item} if item.get('by_epoch', True) is by_epoch else item
            for item in schedules(config)
        ]
    kept['custom_hooks'] = [hook for hook in config.get('custom_hooks') or [] if not _ours(hook)]
    return kept


def _ours(hook: Mapping) -> bool:
    """Tell whether a hook is of this package, whose hooks change nothing of what is learned."""
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
