"""L_adv: a discriminator that learns, an encoder that hides, and a queue that joins them."""

import math
import re

import pytest
import torch
from torch.nn import functional as F

from cct_mm.models import DomainDiscriminator
from cct_mm.models.adversarial import reverse_gradient
from cct_mm.models.progress import set_progress
from cct_mm.schedules import Progress

NAMES = ['day', 'night', 'dawn']


@pytest.fixture
def make():
    def make(domains=NAMES, iteration=5, **kwargs):
        torch.manual_seed(0)
        module = DomainDiscriminator(domains, in_channels=6, channels=(4, 5), **kwargs)
        set_progress(module, Progress(iteration, 100, 0))
        return module

    return make


def features(seed=0, batch=3, size=(4, 5)):
    torch.manual_seed(seed)
    z = torch.randn(batch, 6, *size, requires_grad=True)
    return z, torch.ones(batch, 1, size[0] * 8, size[1] * 8, dtype=torch.bool)


def test_reversal_is_the_identity_forward_and_a_negative_factor_backward():
    x = torch.randn(3, requires_grad=True)
    y = reverse_gradient(x, 0.02)
    assert torch.equal(y, x)
    y.backward(torch.tensor([1.0, 2.0, -3.0]))
    torch.testing.assert_close(x.grad, torch.tensor([-0.02, -0.04, 0.06]))


class TestCheckpoint:
    def test_of_the_same_domains_is_loaded_with_its_queues(self, make):
        module, other = make(), make()
        module.loss('night', *features())
        for weight in module.parameters():
            torch.nn.init.constant_(weight, 0.5)
        other.load_state_dict(module.state_dict())
        assert torch.equal(other.queue_night, module.queue_night)
        assert torch.equal(other.layers[0].weight, module.layers[0].weight)

    @pytest.mark.parametrize('names', [['day', 'night', 'noon'], ['night', 'day', 'dawn']])
    def test_of_other_domains_or_another_order_is_left_out(self, make, names):
        """Its last layer would fit, with the rows of other domains."""
        module, other = make(names), make()
        expected = {name: value.clone() for name, value in other.state_dict().items()}
        for weight in module.parameters():
            torch.nn.init.constant_(weight, 0.5)
        found = other.load_state_dict(module.state_dict(), strict=False)
        assert set(found.missing_keys) == set(expected)
        assert all(torch.equal(value, expected[k]) for k, value in other.state_dict().items())

    def test_of_other_features_is_left_out(self, make):
        wider = DomainDiscriminator(NAMES, in_channels=7, channels=(4, 5))
        module = make()
        module.load_state_dict(wider.state_dict(), strict=False)
        assert torch.isfinite(module.loss('day', *features())['loss_adversarial'])


class TestLoss:
    def test_is_the_cross_entropy_averaged_over_the_domains_shown(self, make):
        module = make()
        shown = {name: features(seed) for seed, name in enumerate(NAMES)}
        for name in ('day', 'night'):
            module.loss(name, *shown[name])
        found = module.loss('dawn', *shown['dawn'])['loss_adversarial']
        # The queue keeps two images of each of the others.
        kept = {name: z if name == 'dawn' else z[[0, 2]] for name, (z, _) in shown.items()}
        expected = [
            F.cross_entropy(module(z), torch.full((len(z), 4, 5), NAMES.index(name)))
            for name, z in kept.items()
        ]
        torch.testing.assert_close(found, sum(expected) / 3)

    def test_of_an_indifferent_discriminator_is_log_n(self, make):
        module = make()
        torch.nn.init.zeros_(module.layers[-1].weight)
        torch.nn.init.zeros_(module.layers[-1].bias)
        loss = module.loss('night', *features())['loss_adversarial']
        assert loss.item() == pytest.approx(math.log(3))

    def test_does_not_count_padding(self, make):
        module = make()
        z, valid = features()
        valid[:, :, 16:] = False
        loss = module.loss('day', z, valid)['loss_adversarial']
        target = torch.zeros(3, 4, 5, dtype=torch.long)
        target[:, 2:] = 255
        torch.testing.assert_close(loss, F.cross_entropy(module(z), target, ignore_index=255))

    def test_of_float16_counts_more_positions_than_float16_can(self, make):
        module = make()
        torch.nn.init.zeros_(module.layers[-1].weight)
        torch.nn.init.zeros_(module.layers[-1].bias)
        z = torch.zeros(1, 6, 260, 260, dtype=torch.float16)
        loss = module.loss('day', z, torch.ones(1, 1, 260, 260, dtype=torch.bool))
        assert loss['loss_adversarial'].item() == pytest.approx(math.log(3))

    def test_accuracy_is_the_share_of_positions_told_right(self, make):
        module = make()
        torch.nn.init.zeros_(module.layers[-1].weight)
        with torch.no_grad():
            module.layers[-1].bias.copy_(torch.tensor([0.0, 1.0, 0.0]))
        assert module.loss('night', *features())['discriminator_accuracy'].item() == 100
        assert module.loss('day', *features())['discriminator_accuracy'].item() == 50


class TestGradient:
    def test_reaches_the_encoder_scaled_and_reversed_and_the_discriminator_in_full(self, make):
        z, valid = features()
        module = make(weight=dict(final=0.02, length=0.0))
        module.loss('day', z, valid)['loss_adversarial'].backward()
        plain = z.detach().clone().requires_grad_()
        expected = make()
        F.cross_entropy(expected(plain), torch.zeros(3, 4, 5, dtype=torch.long)).backward()
        torch.testing.assert_close(z.grad, -0.02 * plain.grad)
        for one, other in zip(module.parameters(), expected.parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad)

    def test_follows_the_ramp(self, make):
        gradients = []
        for iteration in (10, 100):
            z, valid = features()
            module = make(iteration=iteration, weight=dict(final=0.1, shape='linear', length=1.0))
            module.loss('day', z, valid)['loss_adversarial'].backward()
            gradients.append(z.grad)
        torch.testing.assert_close(10 * gradients[0], gradients[1])

    def test_does_not_reach_the_features_of_another_iteration(self, make):
        module = make()
        old, valid = features(1)
        module.loss('night', old, valid)
        z, valid = features(0)
        module.loss('day', z, valid)['loss_adversarial'].backward()
        assert old.grad is None and z.grad is not None


def test_alternating_domains_are_learnt_where_one_at_a_time_is_not(make):
    """What the queue is for: with the last domain's name alone, both would be half right."""
    module = make(['day', 'night'])
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    for step in range(60):
        name = ('day', 'night')[step % 2]
        z, valid = features(step)
        found = module.loss(name, z.detach() + (1.0 if name == 'day' else -1.0), valid)
        optimizer.zero_grad()
        found['loss_adversarial'].backward()
        optimizer.step()
    assert found['discriminator_accuracy'] > 95


@pytest.mark.parametrize(
    ('queue_images', 'batch', 'kept'),
    [
        (2, 8, [0, 7]),
        (4, 8, [0, 2, 5, 7]),
        (2, 4, [0, 3]),
        (3, 3, [0, 1, 2]),
        (9, 3, [0, 1, 2]),
        (1, 8, [0]),
        (0, 8, []),
    ],
)
def test_queue_keeps_labeled_and_unlabeled_images_alike(make, queue_images, batch, kept):
    module = make(queue_images=queue_images)
    z, valid = features(batch=batch)
    valid[-1, :, 16:] = False
    module.loss('day', z, valid)
    assert torch.equal(module.queue_day, z[kept])
    assert torch.equal(module.queue_valid_day, valid[kept, :, ::8, ::8].float())


def test_queue_survives_a_checkpoint_without_a_hook_that_torch_2_1_lacks(make, monkeypatch):
    monkeypatch.delattr(torch.nn.Module, 'register_load_state_dict_pre_hook')
    module, other = make(), make()
    module.loss('day', *features(1))
    other.load_state_dict(module.state_dict())
    torch.testing.assert_close(
        other.loss('night', *features(2))['loss_adversarial'],
        module.loss('night', *features(2))['loss_adversarial'],
    )


def test_one_domain_is_refused(make):
    sentence = (
        "DomainDiscriminator: the model has the domain ['day'] alone, expected at least two to "
        'tell apart; remove `discriminator` from the model'
    )
    with pytest.raises(ValueError, match=f'^{re.escape(sentence)}$'):
        make(['day'])
