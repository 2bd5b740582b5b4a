"""Config files as the tools read them: checked for repeated keys, and formatted once."""

import ast
from pathlib import Path

from mmengine.config import Config


class FormattedOnce(Config):
    """A config whose text is formatted once.

    mmengine formats it for the log, for each of its writers and for each checkpoint, which takes a
    formatter seconds each time.
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
    'EvaluatorCheckHook',
    'DivergenceHook',
    'PooledNormsHook',
)
"""This package's hooks in ``custom_hooks`` of ``configs/_base_/default_runtime.py``."""


def missing_hooks(config: Config) -> str:
    """Name the hooks that a config lost which sets ``custom_hooks`` anew.

    Returns:
        A sentence, empty where none is missing.
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
    """Check that no dict of a config file and its ``_base_`` files names a key twice.

    Python keeps the last of them alone: of two domains with one name, the first would be gone
    without a word. What cannot be read or parsed here is left for mmengine to report.

    Args:
        path: The config file.

    Raises:
        ValueError: If one does, as ``{'a': ..., 'a': ...}``; ``dict(a=..., a=...)`` is no Python.
    """
    path = Path(path)
    if path.suffix != '.py' or not path.is_file():
        return
    try:
        tree = ast.parse(path.read_text(encoding='utf-8'))
    except SyntaxError:
        return
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
                f'line {lines[key.value]}, expected it once, for Python would keep the last alone; '
                'rename or remove one'
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
