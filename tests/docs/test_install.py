"""The commands of docs/install.md."""

import re
from pathlib import Path

import pytest
from doc_pages import commands
from doc_runs import run_installation

ROOT = Path(__file__).resolve().parents[2]
PAGE = 'docs/install.md'


@pytest.mark.parametrize('command', commands(PAGE))
def test_commands(command):
    run_installation(command)


def test_the_extras_are_those_of_the_package():
    named = re.findall(r'^\| `(\w+)` \|', (ROOT / PAGE).read_text(encoding='utf-8'), re.MULTILINE)
    setup = (ROOT / 'setup.py').read_text(encoding='utf-8').partition('extras_require')[2]
    extras = re.findall(r"^        '(\w+)': \[", setup, re.MULTILINE)
    assert sorted(named) == sorted(extras) and extras
