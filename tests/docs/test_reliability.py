"""The commands of docs/reliability.md; what they do with several hosts is in tests/tools."""

import pytest
from doc_pages import commands
from doc_runs import check_launcher


@pytest.mark.slow
@pytest.mark.parametrize('command', commands('docs/reliability.md'))
def test_commands(command):
    check_launcher(command)
