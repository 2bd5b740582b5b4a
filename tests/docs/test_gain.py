"""The commands of docs/gain.md: grids are read, and fresh checkpoints analyzed on one batch."""

import json
import re
import shlex

import pytest
import yaml
from doc_pages import ROOT, commands
from doc_runs import fresh_checkpoint
from mmengine.config import Config

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
    out = tmp_path / words[words.index('--out') + 1]
    table = json.loads((out / 'gradients.json').read_text())
    assert len(table['cells']) == len([first, *others]) * len(table['values'][0]['rows'])
    assert (out / 'gain_camvid.png').is_file()


def test_every_command_is_of_one_kind():
    assert all('run_experiments' in line or 'analyze_gain' in line for line in COMMANDS)


def test_strengths_are_those_of_the_grid():
    text = (ROOT / 'docs/gain.md').read_text(encoding='utf-8')
    grid = yaml.safe_load((ROOT / 'configs/experiments/gain_strength.yaml').read_text())
    config = Config.fromfile(ROOT / grid['methods']['cct-x1'])
    kinds = [entry['type'] for entry in config.model.auxiliary.perturbations]
    rows = re.findall(r'^\| ([\w-]+) \| `(\w+)` \| (.+) \| .+ \| (.+) \| (.+) \|$', text, re.M)
    assert len(rows) == 5
    for method, column in (('cct-x0.5', 2), ('cct-x2', 3), ('cct-x4', 4)):
        options = grid['methods'][method]['cfg_options']
        assert len(options) == len(rows)
        for row in rows:
            key = f'model.auxiliary.perturbations.{kinds.index(row[0])}.{row[1]}'
            numbers = [float(number) for number in row[column].split(', ')]
            assert options[key] == (numbers if len(numbers) > 1 else numbers[0])
