"""The commands of docs/contributing.md, and what it says of the tree."""

import re
from pathlib import Path

import pytest
from doc_pages import commands
from doc_runs import check_make, run_in_shell

ROOT = Path(__file__).resolve().parents[2]
PAGE = 'docs/contributing.md'


@pytest.mark.slow
@pytest.mark.parametrize('command', commands(PAGE))
def test_commands(command):
    if command.startswith('make '):
        check_make(command)
    elif command == 'python docs/tables.py':
        # A test of docs/results.md holds that it changes nothing.
        assert (ROOT / 'docs/tables.py').is_file()
    else:
        assert 'tests collected' in run_in_shell(f'{command} --collect-only')


def test_the_tree_names_what_is_there():
    text = (ROOT / PAGE).read_text(encoding='utf-8')
    paths = re.findall(r'^(?:cct_mm|configs)/[\w/.]*', text, re.MULTILINE)
    assert len(paths) > 25
    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert 'cct_mm/models/segmentors/cct.py' in paths
