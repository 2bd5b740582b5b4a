"""The commands of docs/configs.md."""

import pytest
from doc_pages import commands
from doc_runs import tiny_training


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.parametrize('command', commands('docs/configs.md'))
def test_commands(command, run_tool, real_data, tmp_path):
    output = run_tool(*tiny_training(command, tmp_path), CCT_MM_DATA=str(real_data('CamVid')))
    assert (tmp_path / 'iter_2.pth').is_file(), output
