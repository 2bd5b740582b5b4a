"""The commands of docs/paper_tables.md, and what it says of the grids."""

import json
import re
import shlex

import pytest
from doc_pages import ROOT, commands
from doc_runs import few_test_images, fresh_checkpoint

from cct_mm.lab.grids import load_grid

PAGE = 'docs/paper_tables.md'
COMMANDS = commands(PAGE)
GRIDS = [command for command in COMMANDS if 'tools/run_experiments.py' in command]
ANALYSES = [command for command in COMMANDS if 'tools/analyze_cluster_assumption.py' in command]


def test_every_command_is_run():
    assert len(GRIDS) + len(ANALYSES) == len(COMMANDS)


@pytest.mark.parametrize('command', GRIDS)
def test_grids_are_read(command, server, tmp_path):
    """With all their configs; tests/lab/grids run grids."""
    _, *arguments = shlex.split(command)
    run = server.run(tmp_path / 'log', *arguments, '--table-only', '--work-dir', tmp_path)
    assert 'no finished run' in run.output, run.output[-2000:]


@pytest.mark.realdata
@pytest.mark.parametrize('command', ANALYSES)
def test_analyses(command, run_tool, real_data, tmp_path):
    _, *arguments = shlex.split(command)
    data = real_data('CamVid', 'cityscapes')
    at = arguments.index('--out') + 1
    out = arguments[at] = str(tmp_path / 'out')
    levels = ['input', 'encoder']
    if arguments[2].endswith('.pth'):
        levels.append('z')
        arguments[2] = str(fresh_checkpoint(arguments[1], tmp_path / 'model.pth'))
        arguments += ['--cfg-options', few_test_images(data, tmp_path)]
    else:
        arguments[arguments.index('--limit') + 1] = '1'
        arguments += ['--cfg-options', 'model.backbone.init_cfg=None']
    assert out in run_tool(*arguments, CCT_MM_DATA=str(data)).splitlines()[-1]
    found = json.loads((tmp_path / 'out/camvid.json').read_text())
    assert list(found['levels']) == levels
    assert (tmp_path / 'out/camvid.png').is_file()


def test_the_table_names_every_grid_and_its_trainings(monkeypatch):
    monkeypatch.chdir(ROOT)
    text = (ROOT / PAGE).read_text(encoding='utf-8')
    folder = ROOT / 'configs/experiments/paper'
    rows = re.findall(r'^\| .+ \| `([\w./-]+)` \| (\d+) \| `([\w./-]+)` \|$', text, re.MULTILINE)
    for name, trainings, small in rows:
        assert len(load_grid(folder / name).runs) == int(trainings), name
        assert (folder / small).is_file(), small
    named = {name for row in rows for name in (row[0], row[2])}
    assert {path.name for path in folder.glob('*.yaml')} <= named
