"""The pages build without a warning, and the API reference has what a config can name."""

import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.registry import Registry

import cct_mm  # noqa: F401
from cct_mm.models.cct.perturbations import PERTURBATIONS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def html(tmp_path_factory):
    out = tmp_path_factory.mktemp('html')
    done = subprocess.run(
        [sys.executable, '-m', 'sphinx', '-W', '--keep-going', '-q', '-b', 'html', 'docs', out],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return out


def registered_classes():
    """Classes of this package in mmseg's registries and in its own."""
    from mmseg import registry as mmsegs

    registries = [value for value in vars(mmsegs).values() if isinstance(value, Registry)]
    found = {
        entry
        for registry in (*registries, PERTURBATIONS)
        for entry in registry.module_dict.values()
        if isinstance(entry, type)
    }
    # The workshop, which a config may name too, is no API.
    return {
        entry
        for entry in found
        if entry.__module__.startswith('cct_mm.') and not entry.__module__.startswith('cct_mm.lab')
    }


@pytest.mark.slow
def test_every_registered_class_is_in_the_reference(html):
    pages = ''.join(path.read_text(encoding='utf-8') for path in (html / 'api').glob('*.html'))
    classes = registered_classes()
    assert len(classes) > 25
    missing = [c for c in classes if f'id="{c.__module__}.{c.__qualname__}"' not in pages]
    assert missing == []


@pytest.mark.slow
def test_every_page_is_in_the_contents(html):
    index = (html / 'index.html').read_text(encoding='utf-8')
    pages = [path.stem for path in (ROOT / 'docs').glob('*.md') if path.stem != 'index']
    assert [page for page in pages if f'href="{page}.html"' not in index] == []
