"""The commands of docs/performance.md, on a CPU and on maps of no size."""

import shlex

import pytest
from doc_pages import commands

COMMANDS = commands('docs/performance.md')
ONCE = ['--device', 'cpu', '--repeats', '1', '--warmup', '0']
TOY = ['--config', 'configs/cct/cct_toy.py', '--cfg-options', 'model.backbone.init_cfg=None']
SMALL = {
    'step': [*TOY, '--size', '32x32'],
    'decoders': [*TOY, '--sizes', '4x4', '--classes', '4'],
    'scale': [*TOY, '--size', '32x32', '--counts', '3', '7'],
    'targets': ['--tiny'],
}


@pytest.mark.slow
@pytest.mark.parametrize('command', COMMANDS)
def test_commands(command, run_tool, toy_data, tmp_path):
    words = shlex.split(command.replace('cuda', 'cpu'), comments=True)
    _, tool, name, *options = words
    options += [*ONCE, *SMALL[name], '--out', tmp_path / 'figures.json']
    output = run_tool(tool, name, *options, CCT_MM_DATA=str(toy_data))
    assert (tmp_path / 'figures.json').is_file() and '|' in output
