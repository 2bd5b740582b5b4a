"""Values for the log: mmengine's, fetched only where somebody is about to read them."""

from types import SimpleNamespace

import pytest
import torch
from mmengine import hooks
from mmengine.hooks import LoggerHook
from mmengine.logging import MessageHub
from mmengine.registry import HOOKS

from cct_mm.engine import CheckpointHook, RuntimeInfoHook

OWN, MMENGINES = RuntimeInfoHook, hooks.RuntimeInfoHook


def test_is_registered_in_mmengine_under_the_name_of_mmengines():
    assert HOOKS.get('RuntimeInfoHook') is RuntimeInfoHook


@pytest.fixture
def run_of(request):
    """Make a runner that logs every third iteration, and saves every fifth."""

    def make(kind, others=None):
        hook = kind()
        if others is None:
            others = [LoggerHook(interval=3), CheckpointHook(by_epoch=False, interval=5)]
        hub = MessageHub.get_instance(f'{request.node.name} {kind.__module__}')
        return hook, SimpleNamespace(
            message_hub=hub,
            hooks=[hook, *others],
            iter=0,
            max_iters=100,
            train_dataloader=range(1000),
        )

    return make


def take(hook, runner, *, iterations=1):
    for _ in range(iterations):
        number = runner.iter + 1
        outputs = dict(
            loss=torch.tensor(number / 3, requires_grad=True),
            half=torch.tensor([1 / number], dtype=torch.bfloat16),
            rate=0.1 * number,
        )
        # Some values are only there in some iterations.
        if number % 2:
            outputs['odd'] = torch.tensor(float(number))
        hook.after_train_iter(runner, runner.iter, outputs=outputs)
        runner.iter += 1


def history(runner):
    return {
        key: [value.tolist() for value in buffer.data]
        for key, buffer in runner.message_hub.log_scalars.items()
    }


def test_holds_what_mmengines_does_when_it_is_read(run_of):
    own, mmengines = run_of(OWN), run_of(MMENGINES)
    read = {3, 5, 6, 9, 10, 12}
    for number in range(1, 13):
        for run in (own, mmengines):
            take(*run)
        same = history(own[1]) == history(mmengines[1])
        assert same == (number in read)


@pytest.mark.parametrize('end', ['after_train_epoch', 'after_train', 'before_val'])
def test_fetches_the_rest_at_an_end(run_of, end):
    own, mmengines = run_of(OWN), run_of(MMENGINES)
    for hook, runner in (own, mmengines):
        take(hook, runner, iterations=4)
        runner.message_hub.update_info('loop_stage', 'train')
        getattr(hook, end)(runner)
    assert history(own[1]) == history(mmengines[1])
    assert own[1].message_hub.runtime_info == mmengines[1].message_hub.runtime_info


def test_fetches_at_once_where_nobody_says_when_values_are_read(run_of):
    own, mmengines = run_of(OWN, others=[]), run_of(MMENGINES, others=[])
    for run in (own, mmengines):
        take(*run)
    assert history(own[1]) == history(mmengines[1])
