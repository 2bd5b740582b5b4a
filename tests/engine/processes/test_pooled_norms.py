"""Where statistics are pooled, on two processes that have seen images of their own."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmengine.runner import get_priority

from cct_mm.engine import DivergenceHook, PooledNormsHook

ROOT = Path(__file__).parents[3]

WHEN = """
    from types import SimpleNamespace
    from mmengine.hooks import CheckpointHook, EMAHook
    from mmengine.model import MMDistributedDataParallel
    from torch import nn
    from cct_mm.engine import PooledNormsHook
    from cct_mm.models.adversarial import DomainDiscriminator
    from cct_mm.models.active_domain import ActiveDomain
    from cct_mm.models.norm import use_domain_specific_norms

    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2), nn.BatchNorm1d(2))
    active = ActiveDomain(['day', 'night'])
    active.default = 'day'
    use_domain_specific_norms(network, active)
    network.discriminator = DomainDiscriminator(['day', 'night'], in_channels=2)
    average = EMAHook()
    runner = SimpleNamespace(
        model=MMDistributedDataParallel(network, broadcast_buffers=False),
        hooks=[average, CheckpointHook(by_epoch=False, interval=4)],
        iter=0,
        max_iters=100,
    )
    average.before_run(runner)
    hook = PooledNormsHook()
    runner.model.train()

    def step():
        network.discriminator.queue_day = torch.full((1 + rank, 2, 1, 1), float(rank))
        network[3](network[2](network[1](network[0](torch.randn(6, 3) * (1 + rank) + rank))))
        average.ema_model.module[1].statistics['night'].running_var.add_(rank)

    def equal(*modules):
        found = [tuple(b.tolist() for b in m.buffers()) for m in modules]
        both = [None, None]
        distributed.all_gather_object(both, found)
        return both[0] == both[1]

    statistics = network[1], network[3], average.ema_model.module[1]
    for runner.iter in range(3):
        step()
        hook.after_train_iter(runner, runner.iter)
        assert not equal(*statistics)
    hook.before_val_epoch(runner)
    assert equal(*statistics)
    assert not equal(network.discriminator)
    step()
    assert not equal(*statistics)
    runner.iter = 3
    hook.after_train_iter(runner, runner.iter)
    assert equal(*statistics, network.discriminator)
    # Those of the first process.
    assert network.discriminator.queue_day.tolist() == [[[[0.0]], [[0.0]]]]
    assert network[1].statistics['day'].num_batches_tracked == 4
    step()
    hook.after_train_epoch(runner)
    assert equal(*statistics)
"""


@pytest.mark.slow
def test_both_have_the_same_where_they_validate_and_where_one_saves(on_two_processes):
    on_two_processes(WHEN)


def test_comes_before_the_checkpoint_and_after_the_look_for_divergence():
    order = [
        get_priority(hook.priority) for hook in (DivergenceHook, PooledNormsHook, CheckpointHook)
    ]
    assert order == sorted(set(order))


def test_every_run_does_it():
    hooks = Config.fromfile(ROOT / 'configs/_base_/default_runtime.py').custom_hooks
    assert {'PooledNormsHook', 'DataCheckHook'} < {hook['type'] for hook in hooks}
