"""Batch norm by domain: own running statistics, one weight and bias."""

import copy

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from cct_mm.models.active_domain import ActiveDomain
from cct_mm.models.norm import (
    DomainSpecificNorm,
    freeze_statistics,
    norm_named,
    pool_statistics,
    use_domain_specific_norms,
)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.BatchNorm2d(4), nn.ReLU()))


@pytest.fixture
def by_domain(network):
    network = copy.deepcopy(network)
    use_domain_specific_norms(network, ActiveDomain(['day', 'night']))
    return network


@pytest.fixture
def images():
    torch.manual_seed(1)
    return {'day': torch.randn(4, 3, 8, 8) + 2, 'night': 3 * torch.randn(4, 3, 8, 8)}


def active(module, name):
    """Return the scope in which the norms of a network work for a domain."""
    norm = next(m for m in module.modules() if isinstance(m, DomainSpecificNorm))
    return norm.active.scope(name)


def statistics(module):
    return {n: b.clone() for n, b in module.named_buffers() if 'running' in n or 'batches' in n}


class TestStatistics:
    def test_of_the_active_domain_alone_move(self, by_domain, images):
        before = statistics(by_domain)
        with active(by_domain, 'night'):
            by_domain(images['night'])
            for name, value in statistics(by_domain).items():
                assert torch.equal(value, before[name]) is ('.day.' in name)

    def test_are_those_of_a_network_of_the_domains_own(self, network, by_domain, images):
        alone = {name: copy.deepcopy(network) for name in images}
        for _ in range(3):
            for name, x in images.items():
                with active(by_domain, name):
                    assert torch.equal(by_domain(x), alone[name](x))
        by_domain.eval()
        for name, x in images.items():
            with active(by_domain, name):
                assert torch.equal(by_domain(x), alone[name].eval()(x))


class TestParameters:
    def test_are_shared_and_counted_once(self, network, by_domain):
        assert len(list(by_domain.parameters())) == len(list(network.parameters()))
        # Constructors of optimizers with options by layer go through the modules one by one.
        by_module = [p for m in by_domain.modules() for p in m.parameters(recurse=False)]
        assert len(by_module) == len(set(by_module))

    def test_learn_from_every_domain(self, by_domain, images):
        for name, x in images.items():
            with active(by_domain, name):
                by_domain.zero_grad()
                by_domain(x).square().sum().backward()
                assert by_domain[1][0].norm.weight.grad.abs().min() > 0


class TestCheckpoint:
    def test_with_ordinary_norms_starts_every_domain(self, network, by_domain, images):
        network(images['day'])
        with torch.no_grad():
            network[1][0].weight.fill_(2)
        by_domain.load_state_dict(network.state_dict())
        network.eval(), by_domain.eval()
        for name in images:
            with active(by_domain, name):
                assert torch.equal(by_domain(images['day']), network(images['day']))

    def test_with_another_domain_lends_its_statistics_to_a_new_one(self, by_domain, images):
        for name, x in images.items():
            with active(by_domain, name):
                by_domain(x)
        other = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.BatchNorm2d(4), nn.ReLU()))
        use_domain_specific_norms(other, ActiveDomain(['night', 'rain']))
        found = other.load_state_dict(by_domain.state_dict(), strict=False)
        assert not found.missing_keys
        own, loaded = (network[1][0].statistics for network in (by_domain, other))
        assert torch.equal(loaded['night'].running_var, own['night'].running_var)
        mean = (own['day'].running_var + own['night'].running_var) / 2
        torch.testing.assert_close(loaded['rain'].running_var, mean)

    def test_is_read_without_a_hook_that_torch_2_1_lacks(self, network, monkeypatch, images):
        monkeypatch.delattr(nn.Module, 'register_load_state_dict_pre_hook')
        other = copy.deepcopy(network)
        use_domain_specific_norms(other, ActiveDomain(['day', 'night']))
        network(images['day'])
        other.load_state_dict(network.state_dict())
        mean = other[1][0].statistics['night'].running_mean
        assert torch.equal(mean, network[1][0].running_mean)

    def test_of_its_own_gives_the_same_outputs(self, by_domain, images):
        for name, x in images.items():
            with active(by_domain, name):
                by_domain(x)
        other = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.BatchNorm2d(4), nn.ReLU()))
        use_domain_specific_norms(other, ActiveDomain(['day', 'night']))
        other.load_state_dict(by_domain.state_dict())
        for module in (other, by_domain):
            module.eval()
        for name, x in images.items():
            with active(other, name), active(by_domain, name):
                assert torch.equal(other(x), by_domain(x))


@pytest.mark.parametrize('norm', [nn.BatchNorm2d(4), nn.SyncBatchNorm(4)], ids=['plain', 'synced'])
def test_every_kind_of_batch_norm_is_replaced(norm):
    network = nn.Sequential(nn.Sequential(norm), nn.GroupNorm(2, 4))
    use_domain_specific_norms(network, ActiveDomain(['day']))
    assert isinstance(network[0][0], DomainSpecificNorm)
    assert isinstance(network[1], nn.GroupNorm)


def test_norm_under_two_names_stays_one(images):
    norm = nn.BatchNorm2d(3)
    network = nn.ModuleList([norm, nn.Sequential(norm)])
    use_domain_specific_norms(network, ActiveDomain(['day', 'night']))
    assert network[0] is network[1][0]
    assert isinstance(network[0], DomainSpecificNorm)


def test_conversion_to_synchronized_norms_keeps_statistics_by_domain(by_domain, images):
    for name, x in images.items():
        with active(by_domain, name):
            by_domain(x)
    synced = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(by_domain))
    assert isinstance(synced[1][0].norm, nn.SyncBatchNorm)
    state = by_domain.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in synced.state_dict().items())
    for module in (synced, by_domain):
        module.eval()
    with active(synced, 'night'), active(by_domain, 'night'):
        assert torch.equal(synced(images['night']), by_domain(images['night']))


def test_frozen_statistics_stay_while_weights_learn(network, images):
    freeze_statistics(network.train())
    before = statistics(network)
    network(images['day']).sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in statistics(network).items())
    assert network[1][0].weight.grad is not None


POOL = """
    from torch import nn
    from cct_mm.models.active_domain import ActiveDomain
    from cct_mm.models.norm import pool_statistics, use_domain_specific_norms

    encoder = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    use_domain_specific_norms(encoder, ActiveDomain(['day', 'night']))
    network = nn.Sequential(encoder, nn.BatchNorm2d(2), nn.InstanceNorm2d(2), nn.GroupNorm(1, 2))
    network = nn.ModuleDict(dict(net=network, head=nn.InstanceNorm2d(2, track_running_stats=True)))
    network.head.double()
    norms = [m for m in network.modules() if m._buffers.get('running_mean') is not None]
    assert len(norms) == 4
    # Means 1 and 4, variances 2 and 6: 2.5, and 4 + 1.5 ** 2 = 6.25.
    for number, norm in enumerate(norms):
        norm.running_mean.copy_(torch.tensor([[1.0, 10.0], [4.0, 10.0]][rank]) + number)
        norm.running_var.copy_(torch.tensor([[2.0, 0.1], [6.0, 0.1]][rank]))
        norm.num_batches_tracked.fill_(7)
    weights = {k: v.clone() for k, v in network.named_parameters()}
    pool_statistics(network)
    for number, norm in enumerate(norms):
        assert norm.running_mean.tolist() == [2.5 + number, 10.0 + number]
        assert norm.running_var.tolist() == [6.25, torch.tensor(0.1).to(norm.running_var).item()]
        assert norm.num_batches_tracked == 7
    for k, v in network.named_parameters():
        assert torch.equal(v, weights[k])

    # Odd numbers, of which means are rounded: equal on both, and a second time changes nothing.
    torch.manual_seed(rank)
    for norm in norms:
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.1, 3)
    pool_statistics(network)
    once = [b.clone() for b in network.buffers()]
    pool_statistics(network)
    for found, expected in zip(network.buffers(), once, strict=True):
        assert torch.equal(found, expected)
        other = expected.clone()
        distributed.broadcast(other, 0)
        assert torch.equal(expected, other)
"""


class TestPooling:
    def test_gives_both_processes_the_statistics_of_all_images(self, on_two_processes):
        on_two_processes(POOL)

    def test_alone_changes_nothing(self, by_domain):
        before = statistics(by_domain)
        pool_statistics(by_domain)
        for name, value in statistics(by_domain).items():
            assert torch.equal(value, before[name])


def test_old_name_of_domain_specific_norm_means_the_same_and_warns():
    with pytest.warns(FutureWarning, match='domain-specific'):
        assert norm_named('per-domain', 'CCT') == 'domain-specific'


def test_activation_checkpointing_in_backward_uses_the_statistics_of_its_own_pass(images):
    """What is computed again after the scope has ended is what was computed inside of it."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
    domains = ActiveDomain(['day', 'night'])
    use_domain_specific_norms(network, domains)
    gradients = []
    # In evaluation, so that the statistics differ by domain and passes do not move them.
    with torch.no_grad():
        for name, x in images.items():
            with domains.scope(name):
                network.train()(x)
    network.eval()
    for again in (False, True):
        for name in ('night', 'day'):
            network.zero_grad()
            with domains.scope(name):
                x = images[name]
                y = checkpoint(network, x, use_reentrant=False) if again else network(x)
            y.square().sum().backward()
            gradients.append(network[0].weight.grad.clone())
    assert torch.equal(gradients[0], gradients[2])
    assert torch.equal(gradients[1], gradients[3])
    assert not torch.equal(gradients[0], gradients[1])
    with pytest.raises(RuntimeError, match='no domain is active'):
        network(images['day'])


@pytest.mark.parametrize('reentrant', [False, True])
def test_activation_checkpointing_counts_no_image_twice(by_domain, images, reentrant):
    plain = copy.deepcopy(by_domain)
    for name, x in images.items():
        x = x.requires_grad_()
        with active(plain, name):
            plain(x).square().sum().backward()
        with active(by_domain, name):
            y = checkpoint(by_domain, x, use_reentrant=reentrant)
        y.square().sum().backward()
    expected = statistics(plain)
    found = statistics(by_domain)
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    for p, wanted in zip(by_domain.parameters(), plain.parameters(), strict=True):
        assert torch.equal(p.grad, wanted.grad)
