"""The text of a config, in its own order."""

import keyword
import textwrap
from typing import Any

from mmengine.config import Config

WIDTH = 100
"""Columns of a line, if its text can be broken."""


def config_text(config: Config) -> str:
    """Return a config as the text of a Python file that has the same entries in the same order.

    mmengine's own text is sorted by keys. Where an order counts, as that of ``augmentation`` or of
    the domains, a config that was read from it would train in another way. And yapf, which lays
    that out, takes as long as all else that happens before the first iteration.

    Args:
        config: The config. Classes in it are written by their names.
    """
    entries = config.to_dict().items()
    return ''.join(f'{key} = {_text(value, WIDTH - len(key) - 3)}\n' for key, value in entries)


def _text(value: Any, room: int, depth: int = 0) -> str:
    """Return the text of a value, in one line if it has room there.

    Args:
        value: The value.
        room: Columns that are left in the line that it begins in.
        depth: By how many times four columns that line is indented.
    """
    line = _line(value)
    if len(line) <= room or not isinstance(value, (dict, list, tuple)) or not value:
        return line
    opening, entries, closing = _parts(value)
    # Each entry in a line of its own, which ends with a comma.
    room = WIDTH - 4 * (depth + 1) - 1
    lines = [f'{label}{_text(x, room - len(label), depth + 1)},\n' for label, x in entries]
    return f'{opening}\n{textwrap.indent("".join(lines), " " * 4)}{closing}'


def _line(value: Any) -> str:
    if isinstance(value, type):
        name = f'{value.__module__}.{value.__qualname__}'
        return value.__name__ if value.__module__ == 'builtins' else repr(name)
    if not isinstance(value, (dict, list, tuple)):
        return repr(value)
    opening, entries, closing = _parts(value)
    comma = ',' if isinstance(value, tuple) and len(value) == 1 else ''
    return f'{opening}{", ".join(label + _line(x) for label, x in entries)}{comma}{closing}'


def _parts(value: dict | list | tuple) -> tuple[str, list[tuple[str, Any]], str]:
    """Return how a value begins, its entries with what is before each, and how it ends."""
    if isinstance(value, dict):
        if all(isinstance(key, str) and _is_word(key) for key in value):
            return 'dict(', [(f'{key}=', x) for key, x in value.items()], ')'
        return '{', [(f'{key!r}: ', x) for key, x in value.items()], '}'
    opening, closing = '[]' if isinstance(value, list) else '()'
    return opening, [('', x) for x in value], closing


def _is_word(key: str) -> bool:
    return key.isidentifier() and not keyword.iskeyword(key)
