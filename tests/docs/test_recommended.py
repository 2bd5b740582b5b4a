"""The command of docs/recommended.md, and its list of configs."""

import re
from pathlib import Path

import pytest
from doc_pages import commands
from doc_runs import tiny_training

ROOT = Path(__file__).resolve().parents[2]
PAGE = 'docs/recommended.md'


@pytest.mark.slow
@pytest.mark.realdata
def test_commands(run_tool, real_data, tmp_path):
    (training,) = commands(PAGE)
    run_tool(*tiny_training(training, tmp_path), CCT_MM_DATA=str(real_data('CamVid')))
    assert (tmp_path / 'iter_2.pth').is_file()


def test_names_every_recommended_config():
    named = re.findall(r'^\| `(\S+\.py)` \|', (ROOT / PAGE).read_text(), re.MULTILINE)
    assert sorted(named) == sorted(
        path.name for path in (ROOT / 'configs/recommended').glob('*.py')
    )
