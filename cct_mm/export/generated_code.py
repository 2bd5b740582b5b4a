"""One Python file with classes of this package and all that they need of it, for use without it.

The file is taken from the sources, so that there is one truth: the definitions that a class refers
to, in our modules, are copied with their comments; whatever comes from elsewhere is imported.
"""

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Mapping
from functools import cache
from importlib.util import resolve_name
from types import ModuleType
from typing import NamedTuple

from cct_mm.version import __version__

PACKAGE = 'cct_mm'
PREFIX = 'Plain'
"""Begins the names by which exported classes are registered, beside which ours may be there."""
WIDTH = 100

HEADER = '''"""Layers of a network that cct_mm {version} has exported; they need mmseg alone.

Generated from the sources of cct_mm by tools/export_model.py: change those, and export again.
"""
# Licensed under the Apache License, Version 2.0, like cct_mm: you may obtain a copy of it at
# http://www.apache.org/licenses/LICENSE-2.0. It comes without warranties of any kind.
'''


def is_ours(kind: object) -> bool:
    """Tell whether a class or function is defined in this package."""
    return getattr(kind, '__module__', '').partition('.')[0] == PACKAGE


def source_without_package(classes: Mapping[str, type]) -> str:
    """Return the text of a module that defines and registers some of our classes.

    Args:
        classes: The classes; in mmseg's registries each has the name :data:`PREFIX` + its own.

    Raises:
        ValueError: If a class needs what cannot be copied: a whole module of this package, or two
            definitions of one name.
    """
    collected = _Collected()
    for kind in classes.values():
        collected.add(kind.__module__, kind.__name__)
    parts = [HEADER.format(version=__version__), _import_lines(collected.imports)]
    texts = [*parts, *(f'\n\n{text}' for text in collected.definitions.values())]
    return '\n'.join(texts) + '\n'


class _Import(NamedTuple):
    """``from module import name as alias``, or ``import module as alias`` where name is None."""

    module: str
    name: str | None


class _Source(NamedTuple):
    """What a module of ours defines and imports at its top level, by name."""

    definitions: Mapping[str, str]
    nodes: Mapping[str, ast.stmt]
    imports: Mapping[str, _Import]


class _Collected:
    """Definitions in an order in which each comes after those it refers to, and imports."""

    def __init__(self) -> None:
        self.definitions: dict[str, str] = {}
        self.imports: dict[str, _Import] = {}
        self._owners: dict[str, str] = {}

    def add(self, module: str, name: str) -> None:
        """Add what a name means in a module of ours, and all that this refers to."""
        source = _read(module)
        if name in source.imports:
            self._add_import(module, name, source.imports[name])
        elif name in source.definitions:
            if self._owners.setdefault(name, module) != module:
                raise ValueError(
                    f'{self._owners[name]} and {module} both define {name}, expected one, for both '
                    'go into one file; rename one of them'
                )
            if name in self.definitions:
                return
            # Its place, should something refer back to it; it moves to the end, behind the rest.
            self.definitions[name] = ''
            for node in ast.walk(source.nodes[name]):
                if isinstance(node, ast.Name) and node.id != name:
                    self.add(module, node.id)
            del self.definitions[name]
            self.definitions[name] = source.definitions[name]

    def _add_import(self, module: str, name: str, found: _Import) -> None:
        if found.module.partition('.')[0] != PACKAGE:
            if self.imports.setdefault(name, found) != found:
                raise ValueError(
                    f'{module} imports {name} of {found.module}, and another module that of '
                    f'{self.imports[name].module}, expected one, for both go into one file; '
                    'rename one of them'
                )
        elif found.name == name and not isinstance(
            getattr(importlib.import_module(found.module), name), ModuleType
        ):
            self.add(found.module, name)
        else:
            raise ValueError(
                f'{module} imports {name} as a module or by another name, which cannot be copied '
                f'into one file; import what it uses of {found.module} by name'
            )


@cache
def _read(module: str) -> _Source:
    owner = importlib.import_module(module)
    lines = inspect.getsource(owner).splitlines()
    body = ast.parse('\n'.join(lines)).body
    package = module if hasattr(owner, '__path__') else module.rpartition('.')[0]
    definitions, nodes, imports = {}, {}, {}
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            imports |= _imported(node, package)
        elif isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            nodes[node.name] = node
            definitions[node.name] = _text(lines, node, node)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            end = after if _is_text(after) else node
            for target in targets:
                if isinstance(target, ast.Name):
                    nodes[target.id] = node
                    definitions[target.id] = _text(lines, node, end)
    return _Source(definitions, nodes, imports)


def _imported(node: ast.Import | ast.ImportFrom, package: str) -> dict[str, _Import]:
    if isinstance(node, ast.Import):
        return {(a.asname or a.name.partition('.')[0]): _Import(a.name, None) for a in node.names}
    module = resolve_name('.' * node.level + (node.module or ''), package)
    return {a.asname or a.name: _Import(module, a.name) for a in node.names}


def _is_text(node: ast.stmt | None) -> bool:
    """Tell whether a statement is a string, as that which documents a constant."""
    return isinstance(node, ast.Expr) and isinstance(getattr(node.value, 'value', None), str)


def _text(lines: list[str], first: ast.stmt, last: ast.stmt) -> str:
    """Return the lines of some statements, with the comment above and registered anew."""
    start = min([first.lineno, *(d.lineno for d in getattr(first, 'decorator_list', ()))]) - 1
    while start and lines[start - 1].startswith('#'):
        start -= 1
    text = '\n'.join(lines[start : last.end_lineno])
    name = getattr(first, 'name', '')
    # Replaced where another export has been loaded before.
    anew = rf"@\1.register_module(name='{PREFIX}{name}', force=True)"
    return re.sub(r'^@(\w+)\.register_module\(.*?\)$', anew, text, count=1, flags=re.MULTILINE)


def _import_lines(imports: Mapping[str, _Import]) -> str:
    """Return import statements, the standard library's first."""
    whole, named = {}, {}
    for alias, (module, name) in imports.items():
        if name is None:
            renamed = '' if alias == module.partition('.')[0] else f' as {alias}'
            whole[f'import {module}{renamed}'] = module
        else:
            named.setdefault(module, []).append(name if name == alias else f'{name} as {alias}')
    lines = whole | {_from(module, names): module for module, names in named.items()}
    groups = {True: [], False: []}
    for line, module in sorted(lines.items(), key=lambda item: (item[0][:4] == 'from', item[1])):
        groups[module.partition('.')[0] in sys.stdlib_module_names].append(line)
    return '\n\n'.join('\n'.join(group) for group in groups.values() if group)


def _from(module: str, names: list[str]) -> str:
    line = f'from {module} import {", ".join(sorted(names))}'
    if len(line) <= WIDTH:
        return line
    return f'from {module} import (\n' + ''.join(f'    {name},\n' for name in sorted(names)) + ')'
