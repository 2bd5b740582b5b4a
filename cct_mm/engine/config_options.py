"""Options of the command line: ``--cfg-options KEY=VALUE ...`` overrides entries of a config."""

import ast
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from inspect import signature
from typing import Any

from mmengine.config import Config, DictAction
from mmengine.runner import Runner

RUNNER_KEYS = ('auto_scale_lr', 'compile', 'find_unused_parameters', 'model_wrapper_cfg', 'sync_bn')
"""Entries of a config that mmengine's runner reads in addition to its arguments."""

DICTS = re.compile(r'\[?\s*(\{|dict\()')
"""Begins an option's value that is a dict, or a list of them."""

REFERENCE = '_base_.'
"""Begins an option's value that names another entry of the config, as in a config file."""


def parse_options(options: Sequence[str] | None) -> dict[str, Any]:
    """Return what options as they are typed set.

    mmengine reads numbers, booleans, strings and lists; a dict, or a list of them, is written as in
    a config.

    Args:
        options: Words such as ``model.a=[1,b]`` or ``model.b=dict(c=1)``.

    Raises:
        ValueError: If a word is no ``KEY=VALUE``, or its value is cut short.

    Example:
        >>> parse_options(['optim_wrapper.optimizer.lr=1e-3', 'model.a=[1,b]'])
        {'optim_wrapper.optimizer.lr': 0.001, 'model.a': [1, 'b']}
    """
    return dict(map(_parsed, options or ()))


def _parsed(option: str) -> tuple[str, Any]:
    key, equals, value = option.partition('=')
    if not equals or not key:
        raise ValueError(f'--cfg-options {option}: expected KEY=VALUE, such as model.norm=frozen')
    # mmengine takes what is in quotes for a string only without commas, and knows no dict.
    if DICTS.match(value):
        return key, _literal(option, value)
    try:
        return key, DictAction._parse_iterable(value)
    except AssertionError:
        raise ValueError(
            f'--cfg-options {option}: a bracket in the value is open or closed too often, expected '
            "pairs; quote it for the shell, as in 'model.a=[(1,2),(3,4)]'"
        ) from None


def _literal(option: str, value: str) -> Any:
    def evaluated(node: ast.expr) -> Any:
        if isinstance(node, ast.Call) and getattr(node.func, 'id', '') == 'dict' and not node.args:
            return {keyword.arg: evaluated(keyword.value) for keyword in node.keywords}
        if isinstance(node, ast.Dict):
            keys = map(ast.literal_eval, node.keys)
            return dict(zip(keys, map(evaluated, node.values), strict=True))
        if isinstance(node, (ast.List, ast.Tuple)):
            return (list if isinstance(node, ast.List) else tuple)(map(evaluated, node.elts))
        return ast.literal_eval(node)

    try:
        return evaluated(ast.parse(value, mode='eval').body)
    except (SyntaxError, ValueError, TypeError):
        raise ValueError(
            f'--cfg-options {option}: the value is no dict in Python, expected one such as '
            "dict(type='SGD', lr=0.1); put the whole option into quotes for the shell"
        ) from None


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
