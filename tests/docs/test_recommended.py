"""The command of docs/recommended.md, and its list of configs."""

import re
from pathlib import Path

import pytest
from doc_pages import blocks, commands
from doc_runs import tiny_training
from mmengine.config import Config

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


def test_the_entry_makes_the_recipe_of_a_config_of_cct(tmp_path):
    (text,) = blocks(PAGE, 'python')
    cct = ROOT / 'configs/cct/cct-augmented_efficientnet-lite0_camvid-n20.py'
    text = text.replace("'./cct_leaves.py'", repr(str(cct)))
    (tmp_path / 'mine.py').write_text(text.replace("'../_base_", f"'{ROOT}/configs/_base_"))
    recipe = ROOT / 'configs/recommended/one-domain_efficientnet-lite0_camvid-n20.py'
    mine, ours = (Config.fromfile(path) for path in (tmp_path / 'mine.py', recipe))
    assert mine.model == ours.model and mine.optim_wrapper == ours.optim_wrapper
    assert mine.train_dataloader == ours.train_dataloader
