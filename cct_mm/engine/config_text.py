"""The text of a config, in its own order."""

import keyword
from typing import Any

from mmengine.config import Config
from yapf.yapflib.yapf_api import FormatCode


def config_text(config: Config) -> str:
    """Return a config as the text of a Python file that has the same entries in the same order.

    mmengine's own text is sorted by keys. Where an order counts, as that of ``augmentation`` or of
    the domains, a config that was read from it would train in another way.

    Args:
        config: The config. Classes in it are written by their names.
    """
    lines = [f'{key} = {_text(value)}' for key, value in config.to_dict().items()]
    text, _ = FormatCode('\n'.join(lines), style_config='pep8')
    return text


def _text(value: Any) -> str:
    if isinstance(value, dict):
        if all(isinstance(key, str) and _is_word(key) for key in value):
            return f'dict({", ".join(f"{key}={_text(x)}" for key, x in value.items())})'
        return f'{{{", ".join(f"{key!r}: {_text(x)}" for key, x in value.items())}}}'
    if isinstance(value, list):
        return f'[{", ".join(map(_text, value))}]'
    if isinstance(value, tuple):
        return f'({"".join(f"{_text(x)}, " for x in value)})'
    if isinstance(value, type):
        name = f'{value.__module__}.{value.__qualname__}'
        return value.__name__ if value.__module__ == 'builtins' else repr(name)
    return repr(value)


def _is_word(key: str) -> bool:
    return key.isidentifier() and not keyword.iskeyword(key)
