"""A run that ends early, and what ``--resume`` makes of it, through ``tools/train.py``."""

import shutil

import pytest
import torch

CONFIG = """
_base_ = 'tiny.py'
# No validation is better than this minimum improvement asks for.
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='EarlyStoppingHook', monitor={monitor!r}, min_delta=100.0, patience={patience}),
]
train_cfg = dict(val_interval=1)
"""


def config(tools, monitor='mIoU', patience=3):
    path = tools.root / f'early_{monitor.replace("/", "-")}_{patience}.py'
    path.write_text(CONFIG.format(monitor=monitor, patience=patience))
    return path


@pytest.fixture(scope='module', params=['mIoU', 'day/mIoU'])
def run(tools, request):
    own = config(tools, request.param)
    run = tools.fork('tools/train.py', config=own, work_dir=own.stem)
    assert run.code == 0, run.output
    run.monitor = request.param
    return run


def test_it_ends_after_so_many_validations_without_a_better_one(tools, run, straight):
    # The first is compared with nothing; checkpoints are due after 3 and 6 only.
    last = max(run.losses)
    assert last < 6
    assert f'ended early by EarlyStoppingHook at iteration {last} of 6, by {run.monitor}: ' in (
        run.output
    )
    found = run.checkpoint(last)
    assert found['meta']['iter'] == last
    assert (run.work_dir / 'last_checkpoint').read_text() == str(run.work_dir / f'iter_{last}.pth')
    # What is saved between two iterations is what the iteration itself would have saved.
    other = tools.train(f'{run.work_dir.name}-other', default_hooks__checkpoint__interval=1)
    expected = other.checkpoint(last)
    assert found['param_schedulers'] == expected['param_schedulers']
    for name, value in expected['state_dict'].items():
        assert torch.equal(found['state_dict'][name], value), name


def test_a_run_that_was_killed_ends_where_it_would_have(tools, run):
    folder = tools.root / f'{run.work_dir.name}-killed'
    shutil.copytree(run.work_dir, folder)
    # The third iteration was validated after its checkpoint was written.
    (folder / f'iter_{max(run.losses)}.pth').unlink()
    (folder / 'last_checkpoint').write_text(str(folder / 'iter_3.pth'))
    (folder / 'last_validation').write_text('3')
    own = config(tools, run.monitor)
    again = tools.fork('tools/train.py', '--resume', config=own, work_dir=folder.name)
    assert again.code == 0, again.output
    assert f'ended early by EarlyStoppingHook at iteration {max(run.losses)} of 6' in again.output


def test_a_resumed_run_says_so_and_trains_on_only_when_told(tools, run):
    before = {path: path.read_bytes() for path in run.work_dir.rglob('*') if path.is_file()}
    own = config(tools, run.monitor)
    again = tools.fork('tools/train.py', '--resume', config=own, work_dir=run.work_dir.name)
    assert again.code == 0, again.output
    assert 'this run was ended early by EarlyStoppingHook' in again.output
    assert 'remove the hook from custom_hooks or give it a larger patience' in again.output
    assert {p: p.read_bytes() for p in run.work_dir.rglob('*') if p.is_file()} == before

    last, patient = max(run.losses), config(tools, run.monitor, patience=4)
    again = tools.fork('tools/train.py', '--resume', config=patient, work_dir=run.work_dir.name)
    assert again.code == 0, again.output
    assert 'It goes on under the new settings' in again.output
    # It remembers what it had seen: one more validation, and no more.
    assert f'at iteration {last + 1} of 6' in again.output

    again = tools.train(run.work_dir.name, '--resume')
    assert 'It goes on under the new settings' in again.output
    found = again.checkpoint(6)
    assert 'stopped_early' not in found['message_hub']['runtime_info']
