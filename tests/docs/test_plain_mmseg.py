"""All that docs/plain_mmseg.md tells to type is run, with a network of no size."""

import glob
import os
import shlex
import subprocess
import sys
from pathlib import Path
from unittest import mock

import cv2
import pytest
from doc_pages import blocks, commands
from tiny_network import ROOT, tiny_toy_config

from cct_mm.lab.toy_scenes import writing

PAGE = 'docs/plain_mmseg.md'
SET_MMSEG, *TOOLS = commands(PAGE)


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """A folder with the page's config, data and work dir."""
    root = tmp_path_factory.mktemp('plain_mmseg')
    with mock.patch.object(writing, 'SPLIT_SIZES', {'train': 16, 'val': 3, 'test': 3}):
        writing.write_toy_scenes(root / 'data')
    (root / 'tools').symlink_to(ROOT / 'tools')
    (root / 'configs/multi_domain').mkdir(parents=True)
    text = tiny_toy_config(iterations=2, interval=2)
    text = text.replace('/configs/cct/', '/configs/multi_domain/')
    (root / 'configs/multi_domain/cct_toy.py').write_text(text)
    return root


def run(server, place, *argv):
    log = place / 'log.txt'
    log.unlink(missing_ok=True)
    data = dict(CCT_MM_DATA=str(place / 'data'))
    tool = server.run(log, *argv, directory=place, environment=data)
    assert tool.code == 0, tool.output


@pytest.fixture(scope='module')
def trained(server, place):
    run(server, place, 'tools/train.py', 'configs/multi_domain/cct_toy.py')
    (place / 'work_dirs/cct_toy/iter_2.pth').rename(place / 'work_dirs/cct_toy/iter_400.pth')


@pytest.fixture(scope='module')
def mmseg():
    """Where the page says that mmseg's tools are."""
    done = subprocess.run(
        ['bash', '-c', f'{SET_MMSEG}; echo $MMSEG'],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, 'PATH': f'{Path(sys.executable).parent}:{os.environ["PATH"]}'},
    )
    return done.stdout.strip()


@pytest.mark.parametrize('command', TOOLS)
def test_command(server, place, trained, mmseg, command):
    if 'analyze_logs' in command:
        pytest.importorskip('seaborn')
    words = shlex.split(command.replace('$MMSEG', mmseg))
    assert words.pop(0) == 'python'
    words = [found for w in words for found in (glob.glob(w, root_dir=place) or [w])]
    run(server, place, *words)
    for option in ('--out', '--output-dir', '--pred-dir'):
        if option in words:
            assert (place / words[words.index(option) + 1]).exists()


def test_python(place, trained, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setenv('CCT_MM_DATA', 'data')
    (code,) = blocks(PAGE, 'python')
    names = {}
    exec(code, names)
    assert tuple(names['labels'].shape) == cv2.imread(names['image']).shape[:2]
    assert cv2.imread('night.png') is not None
    assert len(os.listdir('predictions/pred')) == len(list(Path(names['image']).parent.iterdir()))
