"""The commands of docs/gain.md: grids are read, and fresh checkpoints analyzed on one batch."""

import json
import shlex

import pytest
from doc_pages import ROOT, commands
from doc_runs import fresh_checkpoint

COMMANDS = commands('docs/gain.md')


@pytest.mark.slow
@pytest.mark.parametrize('command', [line for line in COMMANDS if 'run_experiments' in line])
def test_grids(command, server, tmp_path):
    _, tool, grid, option, record = shlex.split(command)
    record = tmp_path / record
    options = ['--table-only', '--work-dir', tmp_path, option, record]
    run = server.run(tmp_path / 'log', tool, grid, *options, directory=ROOT)
    # No word about the grid or its configs.
    assert 'no finished run' in run.output, run.output
    assert not record.exists()


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.parametrize('command', [line for line in COMMANDS if 'analyze_gain' in line])
def test_analysis(command, run_tool, real_data, tmp_path):
    _, tool, config, *words = shlex.split(command)
    words = [str(tmp_path / word) if word.startswith('work_dirs/') else word for word in words]
    first, *others = [word for word in words if word.endswith('.pth')]
    (tmp_path / first).parent.mkdir(parents=True)
    fresh_checkpoint(config, first)
    for other in others:
        (tmp_path / other).symlink_to(first)
    data = str(real_data('CamVid'))
    output = run_tool(tool, config, *words, '--batches', '1', CCT_MM_DATA=data)
    assert 'Results: ' in output
    table = json.loads((tmp_path / 'work_dirs/gain/gradients.json').read_text())
    assert len(table['cells']) == len([first, *others]) * len(table['values'][0]['rows'])
    assert (tmp_path / 'work_dirs/gain/gain_camvid.png').is_file()


def test_every_command_is_of_one_kind():
    assert all('run_experiments' in line or 'analyze_gain' in line for line in COMMANDS)
