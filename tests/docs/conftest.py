"""Runs the commands of pages as a user types them, on few images and for two iterations."""

import itertools
import os
from pathlib import Path

import pytest
from fork_server import ForkServer

from cct_mm.lab.toy_scenes import write_toy_scenes

ROOT = Path(__file__).resolve().parents[2]
REAL_DATA = Path(os.environ.get('CCT_MM_DATA', ROOT / 'data')).resolve()


@pytest.fixture(scope='session')
def server():
    """Start tools in processes of their own; all pages share what its imports cost."""
    with ForkServer(PYTHONPATH=str(ROOT)) as server:
        yield server


@pytest.fixture(scope='session')
def run_tool(server, tmp_path_factory):
    """Run ``tools/*.py`` and return its output; the test fails with it if the tool does."""
    logs = tmp_path_factory.mktemp('logs')
    numbers = itertools.count()

    def run(*argv, directory=ROOT, **environment):
        log = logs / f'{next(numbers)}.log'
        tool = server.run(log, *argv, directory=directory, environment=environment)
        assert tool.code == 0, f'{argv}\n{tool.output[-4000:]}'
        return tool.output

    return run


@pytest.fixture(scope='session')
def toy_data(tmp_path_factory):
    """ToyScenes in a folder of its own, the value of ``CCT_MM_DATA``."""
    root = tmp_path_factory.mktemp('data')
    write_toy_scenes(root)
    return root


@pytest.fixture
def real_data():
    """Return a function that gives the folder of the data sets, or skips where one is absent."""

    def folder(*names):
        for name in names:
            if not (REAL_DATA / name).is_dir():
                pytest.skip(f'no {name} in {REAL_DATA}: set CCT_MM_DATA to the folder that has it')
        return REAL_DATA

    return folder
