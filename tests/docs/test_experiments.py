"""The commands of docs/experiments.md; tests/lab/grids run grids, launchers and verifications."""

import shlex

import pytest
import yaml
from doc_pages import ROOT, blocks, commands
from doc_runs import check_grid, check_make, run_here

from cct_mm.lab.grids import load_grid
from cct_mm.lab.grids.jobs import read_jobs
from cct_mm.lab.grids.record import write_json

PAGE = 'docs/experiments.md'
COMMANDS = commands(PAGE)
GRIDS = [command for command in COMMANDS if 'run_experiments' in command]
DRY_RUNS = [command for command in GRIDS if '--dry-run' in command]
VERIFY = [command for command in COMMANDS if command.startswith('make verify')]


@pytest.mark.parametrize('command', [one for one in GRIDS if one not in DRY_RUNS])
def test_grids_are_read(command, tmp_path):
    check_grid(command, tmp_path)


def test_dry_run_tells_what_is_to_do(tmp_path, toy_data, monkeypatch):
    (command,) = DRY_RUNS
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv('CCT_MM_DATA', str(toy_data))
    # Another grid has finished a run of each config, so that none is measured.
    for number, job in enumerate(read_jobs(load_grid(shlex.split(command)[2]), tmp_path, ROOT)):
        record = dict(iterations=400, train_seconds=400.0, hashes=job.hashes)
        write_json(tmp_path / f'other/{number}/result.json', record)
    code, text, _ = run_here(f'{command} --work-dir {tmp_path} --jobs 2')
    assert code == 0 and '10 of 10 runs to do' in text
    assert 'About 1:06:40 of training, 0:33:20 with 2 at a time' in text
    assert 'tools/train.py configs/cct/cct_toy.py' in text


def test_verify_finds_its_row_among_those_that_it_lists():
    for command in VERIFY:
        check_make(command)
    first, second = (command.partition('ROW=')[2] for command in VERIFY)
    code, text, _ = run_here('python tools/verify.py')
    assert code == 0 and not first
    assert second in [line.split()[0] for line in text.splitlines() if line]


def test_the_grid_of_the_page_has_the_runs_that_it_names(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    (text,) = blocks(PAGE, 'yaml')
    assert yaml.safe_load(text)['name'] == 'widths'
    (tmp_path / 'grid.yaml').write_text(text)
    grid = load_grid(tmp_path / 'grid.yaml')
    methods = [run.method for run in grid.runs]
    assert (methods.count('supervised'), methods.count('cct')) == (3, 6)
    assert all(job.hashes for job in read_jobs(grid, tmp_path, ROOT))


def test_every_command_is_run():
    assert len(COMMANDS) == len(GRIDS) + len(VERIFY)
