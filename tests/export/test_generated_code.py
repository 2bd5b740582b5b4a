"""The generated file holds our layers, and needs nothing else of this package."""

import ast
import sys
import types

import pytest
import torch
from mmseg.registry import MODELS

from cct_mm.export import generated_code
from cct_mm.export.generated_code import is_ours, source_without_package
from cct_mm.models import PSPNeck, SubPixelHead

LAYERS = sorted(
    (kind for name, kind in MODELS.module_dict.items()
     if is_ours(kind) and name.endswith(('Neck', 'Head', 'Backbone'))),
    key=lambda kind: kind.__name__,
)  # fmt: skip
EXAMPLES = {
    PSPNeck: (dict(in_channels=16, out_channels=8), ([torch.rand(2, 16, 9, 11)],)),
    SubPixelHead: (
        dict(in_channels=8, num_classes=3, stride=4, channels=5),
        ([torch.rand(2, 8, 9, 11)],),
    ),
}


def run(source):
    module = types.ModuleType('generated')
    exec(compile(source, 'generated.py', 'exec'), module.__dict__)
    return module


def imported(source):
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


@pytest.mark.parametrize('kind', LAYERS, ids=lambda kind: kind.__name__)
def test_imports_nothing_of_ours(kind):
    source = source_without_package({f'Plain{kind.__name__}': kind})
    found = {name.partition('.')[0] for name in imported(source)} - sys.stdlib_module_names
    assert found <= {'torch', 'mmcv', 'mmengine', 'mmseg'}
    assert hasattr(run(source), kind.__name__)


@pytest.mark.parametrize('kind', EXAMPLES, ids=lambda kind: kind.__name__)
def test_computes_the_same(kind):
    arguments, inputs = EXAMPLES[kind]
    ours = kind(**arguments).eval()
    run(source_without_package({f'Plain{kind.__name__}': kind}))
    theirs = MODELS.build(dict(type=f'Plain{kind.__name__}', **arguments)).eval()
    assert not is_ours(type(theirs))
    theirs.load_state_dict(ours.state_dict())
    for found, expected in zip(theirs(*inputs), ours(*inputs), strict=True):
        assert torch.equal(found, expected)


def test_ours_stay_registered_beside_it():
    source = source_without_package({'PlainPSPNeck': PSPNeck})
    run(source)
    run(source)
    assert MODELS.get('PSPNeck') is PSPNeck


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Write a package, which passes for ours, and return its module of a name."""
    monkeypatch.setattr(generated_code, 'PACKAGE', 'my_layers')
    monkeypatch.syspath_prepend(tmp_path)
    generated_code._read.cache_clear()

    def write(**sources):
        (tmp_path / 'my_layers').mkdir()
        for name, text in {'__init__': '', **sources}.items():
            (tmp_path / f'my_layers/{name}.py').write_text(text)
        return __import__('my_layers.layer', fromlist=['layer'])

    yield write
    for name in [name for name in sys.modules if name.partition('.')[0] == 'my_layers']:
        del sys.modules[name]


def test_takes_what_a_definition_needs_and_no_more(package):
    layer = package(
        layer='import math\n'
        'import os\n'
        'from .sizes import SIDE, other\n'
        '# Twice, and no more.\n'
        'def double(x):\n    return 2 * x\n'
        'def unused():\n    return os.sep + other\n'
        'class Layer:\n    side = math.ceil(double(SIDE))\n',
        sizes='HALF = 1.5\nSIDE = 2 * HALF\n"""In pixels."""\nother = 1\n',
    )
    source = source_without_package({'PlainLayer': layer.Layer})
    assert run(source).Layer.side == 6
    assert '# Twice, and no more.\ndef double' in source
    assert 'SIDE = 2 * HALF\n"""In pixels."""' in source
    assert 'unused' not in source and 'import os' not in source and 'other' not in source


def test_refuses_two_definitions_of_one_name(package):
    layer = package(
        layer='from .a import first\nfrom .b import second\n'
        'class Layer:\n    both = first() + second()\n',
        a='def side():\n    return 1\ndef first():\n    return side()\n',
        b='def side():\n    return 2\ndef second():\n    return side()\n',
    )
    with pytest.raises(ValueError, match=r'my_layers\.a and my_layers\.b both define side'):
        source_without_package({'PlainLayer': layer.Layer})


def test_refuses_a_module_as_a_whole(package):
    layer = package(
        layer='from my_layers import sizes\nclass Layer:\n    side = sizes.SIDE\n',
        sizes='SIDE = 1\n',
    )
    with pytest.raises(ValueError, match='imports sizes as a module'):
        source_without_package({'PlainLayer': layer.Layer})
