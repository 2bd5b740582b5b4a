"""Every command of docs/report.md, on work dirs that were made up."""

import shlex

import pytest
from doc_pages import ROOT, blocks, commands
from html_check import Page
from made_up_runs import write_grid_run, write_run

PAGE = 'docs/report.md'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Where the page's commands are typed: with its work dirs, which have no checkpoints."""
    folder = tmp_path_factory.mktemp('docs')
    for name in ('supervised_toy', 'cct_toy'):
        write_run(folder / 'work_dirs' / name)
    for method in ('supervised', 'cct'):
        write_grid_run(folder / 'work_dirs/experiments/toy', method, 0, 40.0)
    return folder


@pytest.mark.parametrize('command', commands(PAGE))
def test_command(command, folder, server):
    python, tool, *arguments = shlex.split(command)
    assert python == 'python'
    run = server.run(folder / 'log', ROOT / tool, *arguments, directory=folder)
    assert run.code == 0, run.output
    out = folder / arguments[arguments.index('--out') + 1]
    assert Page(out.read_text()).problems == []


def test_python(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / 'report.html').unlink(missing_ok=True)
    for code in blocks(PAGE, 'python'):
        exec(code, {})
    assert (folder / 'report.html').is_file()
