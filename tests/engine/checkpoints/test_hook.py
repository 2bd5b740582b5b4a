"""All processes know when the first one will write a checkpoint."""

from types import SimpleNamespace

import pytest
from mmengine.hooks import CheckpointHook, LoggerHook

from cct_mm.engine.checkpoints.hook import saves_after


class Saving(CheckpointHook):
    """A checkpoint hook of another class that writes down when it saves."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.saved = []

    def _save_checkpoint(self, runner):
        self.saved.append(runner.iter)


@pytest.fixture
def runner():
    class Silent:
        def info(self, text):
            """Say nothing."""

    return SimpleNamespace(iter=0, max_iters=23, hooks=[], logger=Silent())


@pytest.mark.parametrize(
    'options',
    [
        [dict(interval=5)],
        [dict(interval=5, save_last=False)],
        [dict(interval=4, save_begin=9)],
        [dict(interval=-1)],
        [dict(interval=-1, save_last=False)],
        [dict(interval=7), dict(interval=5, save_last=False)],
        [],
    ],
)
def test_says_yes_where_the_checkpoint_hooks_save(runner, options):
    savers = [Saving(by_epoch=False, **entries) for entries in options]
    runner.hooks = [LoggerHook(), *savers]
    said = []
    for iteration in range(23):
        runner.iter = iteration
        if saves_after(runner):
            said.append(runner.iter)
        for hook in savers:
            hook.after_train_iter(runner, runner.iter)
    assert said == sorted({iteration for hook in savers for iteration in hook.saved})


def test_one_that_counts_epochs_saves_after_no_iteration(runner):
    runner.hooks = [CheckpointHook(interval=1, by_epoch=True)]
    assert not saves_after(runner)
