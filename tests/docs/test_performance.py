"""The commands of docs/performance.md, on a CPU and on maps of no size."""

import shlex

import pytest
from doc_pages import commands

ONCE = ['--device', 'cpu', '--repeats', '1', '--warmup', '0']
TOY = ['--config', 'configs/cct/cct_toy.py', '--cfg-options', 'model.backbone.init_cfg=None']
SMALL = {
    'step': [*TOY, '--size', '32x32'],
    'decoders': [*TOY, '--sizes', '4x4', '--classes', '4'],
    'scale': [*TOY, '--size', '32x32', '--counts', '3', '7'],
    'targets': ['--tiny'],
}


def shrink(command):
    """Return the words of a command as it is run here."""
    words = shlex.split(command.replace('cuda', 'cpu'), comments=True)
    # What is said last counts; all options of `targets` are among these.
    said = words[:3] if words[2] == 'targets' else words
    # A CPU cannot compute these.
    said = [word for word in said if not word.startswith('triton')]
    return *said, *SMALL[words[2]], *ONCE


# Two that are the same on a CPU are run once.
SHRUNK = dict.fromkeys(map(shrink, commands('docs/performance.md')))


@pytest.mark.slow
@pytest.mark.parametrize('words', SHRUNK)
def test_commands(words, run_tool, toy_data, tmp_path):
    _, tool, name, *options = words
    options += ['--out', tmp_path / 'figures.json']
    output = run_tool(tool, name, *options, CCT_MM_DATA=str(toy_data))
    assert (tmp_path / 'figures.json').is_file() and '|' in output
