"""Distances of Eqs. 7-9: by hand, against an independent form, and their gradients by autograd."""

import math

import pytest
import torch
from mmseg.registry import MODELS

from cct_mm.models.losses import DISTANCES, ConsistencyLoss, js, kl, mse
from cct_mm.models.losses.consistency import position_weight

NAMES = sorted(DISTANCES)
TARGET, UNIFORM = [0.75, 0.25], [0.0, 0.0]  # y^u, and the logits of y_a = (1/2, 1/2)
BY_HAND = {
    'mse': 2 * 0.25**2,
    'kl': 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5),
    # m = (5/8, 3/8)
    'js-reversed': 0.5 * (5 / 8 * math.log(5 / 8 / 0.75001) + 3 / 8 * math.log(3 / 8 / 0.25001))
    + 0.5 * (5 / 8 * math.log(5 / 4) + 3 / 8 * math.log(3 / 4)),
    'js': 0.5 * (0.75 * math.log(6 / 5) + 0.25 * math.log(2 / 3))
    + 0.5 * (0.5 * math.log(4 / 5) + 0.5 * math.log(4 / 3)),
}
AT_EQUALITY = {'js-reversed': 3e-5}
"""How far from 0 value and gradient may be; the released code adds 1e-5 to y^u."""


def column(*values):
    """One pixel: [1, C, 1, 1] in float64."""
    return torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1)


def random_pair(seed=0, batch=2, classes=5, size=(3, 4)):
    torch.manual_seed(seed)
    target = torch.randn(batch, classes, *size, dtype=torch.float64).mul(2).softmax(1)
    return target, torch.randn(batch, classes, *size, dtype=torch.float64).mul(2)


def divergence(p, q):
    """KL(p || q) at each position, as it is defined."""
    return (p * (p / q).log()).sum(dim=1)


def plain(name, target, logits):
    """Eqs. 7-9 written down once more."""
    prob = logits.exp() / logits.exp().sum(dim=1, keepdim=True)
    if name == 'mse':
        return ((target - prob) ** 2).sum(dim=1)
    if name == 'kl':
        return divergence(target, prob)
    mean = (target + prob) / 2
    if name == 'js-reversed':
        return (divergence(mean, target + 1e-5) + divergence(mean, prob)) / 2
    return (divergence(target, mean) + divergence(prob, mean)) / 2


@pytest.mark.parametrize('name', NAMES)
class TestValue:
    def test_one_pixel_by_hand(self, name):
        value = DISTANCES[name].value(column(*TARGET), column(*UNIFORM).log_softmax(1))
        assert value.shape == (1, 1, 1)
        assert value.item() == pytest.approx(BY_HAND[name], rel=1e-14)

    def test_equals_the_definition_with_its_gradient(self, name):
        target, logits = random_pair()
        logits.requires_grad_()
        expected = plain(name, target, logits)
        found = DISTANCES[name].value(target, logits.log_softmax(1))
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)
        weight = torch.rand_like(expected)
        (of_found,) = torch.autograd.grad((found * weight).sum(), logits)
        (of_expected,) = torch.autograd.grad((expected * weight).sum(), logits)
        torch.testing.assert_close(of_found, of_expected, rtol=1e-11, atol=1e-14)

    def test_zero_if_and_only_if_equal(self, name):
        target, logits = random_pair()
        equal = DISTANCES[name].value(target, target.log())
        assert equal.abs().max() < AT_EQUALITY.get(name, 1e-15)
        assert DISTANCES[name].value(target, logits.log_softmax(1)).min() > 1e-4

    def test_does_not_depend_on_a_constant_added_to_the_logits(self, name):
        target, logits = random_pair()
        shifted = (logits + 100).log_softmax(1)
        torch.testing.assert_close(
            DISTANCES[name].value(target, shifted),
            DISTANCES[name].value(target, logits.log_softmax(1)),
            rtol=1e-11,
            atol=1e-13,
        )


class TestEachDistance:
    def test_js_is_symmetric_and_the_others_order(self):
        target, logits = random_pair()
        prob = logits.softmax(1)
        torch.testing.assert_close(
            js(target, prob.log()), js(prob, target.log()), rtol=1e-12, atol=1e-15
        )
        torch.testing.assert_close(mse(target, prob.log()), mse(prob, target.log()))
        assert (kl(target, prob.log()) - kl(prob, target.log())).abs().min() > 1e-6

    def test_kl_is_from_the_target_to_the_auxiliary_prediction(self):
        # KL((1, 0) || (1/2, 1/2)) = log 2; the other way round it is infinite.
        assert kl(column(1, 0), column(0, 0).log_softmax(1)).item() == pytest.approx(math.log(2))

    def test_upper_bounds_are_reached_by_opposite_certainties(self):
        target, log_prob = column(1, 0), column(-400, 400).log_softmax(1)
        assert mse(target, log_prob).item() == pytest.approx(2)
        assert js(target, log_prob).item() == pytest.approx(math.log(2))
        assert kl(target, log_prob).item() == pytest.approx(800)


@pytest.mark.parametrize('name', NAMES)
class TestWithGradient:
    def flat(self, seed=0, decoders=3):
        target, _ = random_pair(seed, batch=1)
        torch.manual_seed(seed + 1)
        logits = torch.randn(decoders, 5, 12, dtype=torch.float64)
        return target[0].flatten(1), logits, torch.rand(12, dtype=torch.float64)

    def test_equals_value_and_autograd(self, name):
        target, logits, weight = self.flat()
        logits.requires_grad_()
        at_positions = DISTANCES[name].value(target.expand_as(logits), logits.log_softmax(1))
        expected = (at_positions * weight).sum(dim=1)
        (gradient,) = torch.autograd.grad(expected.sum(), logits)
        value, found = DISTANCES[name].with_gradient(target, logits.detach().clone(), weight)
        torch.testing.assert_close(value, expected.detach(), rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(found, gradient, rtol=1e-11, atol=1e-14)

    def test_gradcheck(self, name):
        target, logits, weight = self.flat()

        class Function(torch.autograd.Function):
            @staticmethod
            def forward(ctx, logits):
                value, gradient = DISTANCES[name].with_gradient(target, logits.clone(), weight)
                ctx.save_for_backward(gradient)
                return value

            @staticmethod
            def backward(ctx, grad):
                return grad[:, None, None] * ctx.saved_tensors[0]

        assert torch.autograd.gradcheck(Function.apply, logits.requires_grad_(), atol=1e-8)

    def test_gradient_is_zero_at_equality_and_adds_to_zero_over_classes(self, name):
        target, logits, weight = self.flat()
        _, gradient = DISTANCES[name].with_gradient(target, logits.clone(), weight)
        assert gradient.sum(dim=1).abs().max() < 1e-15
        _, gradient = DISTANCES[name].with_gradient(target, target.log()[None], weight)
        assert gradient.abs().max() < AT_EQUALITY.get(name, 1e-15)

    def test_leaves_target_and_weight_as_they_are(self, name):
        target, logits, weight = self.flat()
        before = target.clone(), weight.clone()
        DISTANCES[name].with_gradient(target, logits, weight)
        assert torch.equal(target, before[0]) and torch.equal(weight, before[1])

    @pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
    @pytest.mark.parametrize('scale', [1.0, 30.0, 500.0])
    def test_one_hot_targets_and_certain_predictions_are_finite(self, name, dtype, scale):
        target = torch.eye(3, dtype=dtype)  # every class once, at three positions
        logits = scale * torch.stack(
            [torch.eye(3, dtype=dtype), torch.eye(3, dtype=dtype).roll(1, 0)]
        )
        value, gradient = DISTANCES[name].with_gradient(
            target, logits.clone(), torch.ones(3, dtype=dtype)
        )
        logits.requires_grad_()
        at_positions = DISTANCES[name].value(target.expand_as(logits), logits.log_softmax(1))
        (of_value,) = torch.autograd.grad(at_positions.sum(), logits)
        for tensor in (value, gradient, at_positions, of_value):
            assert tensor.isfinite().all()
        tolerance = dict(rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(value, at_positions.detach().sum(1), **tolerance)
        torch.testing.assert_close(gradient, of_value, **tolerance)
        if scale == 500:
            # Right and certain costs nothing, wrong and certain the distance's maximum.
            reversed_js = 125 - math.log(2) - math.log(1e-5) / 4
            worst = {'mse': 2.0, 'kl': 500.0, 'js': math.log(2), 'js-reversed': reversed_js}[name]
            expected = torch.tensor([0, 3 * worst], dtype=dtype)
            torch.testing.assert_close(value, expected, rtol=1e-6, atol=AT_EQUALITY.get(name, 1e-6))


class TestPositionWeight:
    def test_is_a_mean_over_the_image_without_its_padding(self):
        target, _ = random_pair()
        valid = torch.ones(2, 1, 3, 4, dtype=torch.bool)
        valid[1, :, 2:] = False
        valid[1, :, :, 3:] = False
        weight = position_weight(target, valid, None)
        expected = valid[:, 0] / (12 + 6)
        torch.testing.assert_close(weight, expected)

    def test_confidence_mask_counts_positions_above_beta_only(self):
        target = torch.tensor([[0.51, 0.49], [0.5, 0.5], [0.1, 0.9], [0.05, 0.95]]).T.view(
            1, 2, 1, 4
        )
        valid = torch.tensor([True, True, True, False]).view(1, 1, 1, 4)
        weight = position_weight(target, valid, 0.5)
        assert weight.tolist() == [[[0.5, 0, 0.5, 0]]]

    def test_confidence_mask_may_average_over_all_positions_but_the_padding(self):
        # What the released code does for KL: the sum over confident pixels, by the number of all.
        target, logits = random_pair()
        confident = target.amax(dim=1) > 0.6
        loss = ConsistencyLoss('kl', over_classes='sum', confidence=0.6, average_over='valid')
        valid = torch.ones(2, 1, 3, 4, dtype=torch.bool)
        expected = plain('kl', target, logits)[confident].sum() / confident.numel()
        found = loss(target, logits, loss.position_weight(target, valid))
        assert 0 < confident.sum() < confident.numel()
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
        valid[1] = False
        weight = position_weight(target, valid, 0.6, average_over='valid')
        torch.testing.assert_close(weight, (confident & valid[:, 0]) / 12)

    def test_nothing_counts(self):
        target, _ = random_pair()
        valid = torch.zeros(2, 1, 3, 4, dtype=torch.bool)
        assert position_weight(target, valid, None).count_nonzero() == 0
        assert position_weight(target, ~valid, 0.999999).count_nonzero() == 0


@pytest.mark.parametrize('name', NAMES)
class TestConsistencyLoss:
    def loss(self, target, logits, valid=None, **arguments):
        loss = ConsistencyLoss(**arguments)
        valid = torch.ones_like(target[:, :1], dtype=torch.bool) if valid is None else valid
        return loss(target, logits, loss.position_weight(target, valid)).item()

    def test_sum_over_classes_is_the_equation_to_the_letter(self, name):
        target, logits = random_pair()
        expected = plain(name, target, logits).mean().item()
        found = self.loss(target, logits, distance=name, over_classes='sum')
        assert found == pytest.approx(expected, rel=1e-6)

    def test_mean_over_classes_is_the_sum_by_their_number(self, name):
        target, logits = random_pair()
        mean = self.loss(target, logits, distance=name)
        total = self.loss(target, logits, distance=name, over_classes='sum')
        assert total / mean == pytest.approx(5, rel=1e-6)

    def test_padding_and_unconfident_positions_change_nothing(self, name):
        target, logits = random_pair(size=(4, 4))
        valid = torch.rand(2, 1, 4, 4) > 0.3
        confident = target.amax(1, keepdim=True) > 0.6
        counts = (valid & confident).squeeze(1)
        assert 0 < counts.sum() < valid.sum() < valid.numel()
        before = self.loss(target, logits, valid, distance=name, confidence=0.6)
        expected = plain(name, target, logits)[counts].mean().item() / 5
        assert before == pytest.approx(expected, rel=1e-6)
        logits[~counts.unsqueeze(1).expand_as(logits)] = 7.0
        assert self.loss(target, logits, valid, distance=name, confidence=0.6) == before

    def test_with_hard_labels_is_that_to_the_most_probable_class(self, name):
        target, logits = random_pair()
        one_hot = torch.zeros_like(target)
        for b, i, j in torch.cartesian_prod(*map(torch.arange, (2, 3, 4))).tolist():
            one_hot[b, target[b, :, i, j].argmax(), i, j] = 1
        assert self.loss(target, logits, distance=name, hard_labels=True) == pytest.approx(
            self.loss(one_hot, logits, distance=name), rel=1e-6
        )

    def test_is_built_from_a_config(self, name):
        loss = MODELS.build(dict(type='ConsistencyLoss', distance=name))
        assert loss.distance is DISTANCES[name]
        assert loss.over_classes == 'mean' and loss.confidence is None


def test_hard_labels_and_kl_make_the_cross_entropy():
    target, logits = random_pair()
    loss = ConsistencyLoss('kl', over_classes='sum', hard_labels=True)
    weight = loss.position_weight(target, torch.ones(2, 1, 3, 4, dtype=torch.bool))
    expected = torch.nn.functional.cross_entropy(logits, target.argmax(dim=1))
    torch.testing.assert_close(loss(target, logits, weight), expected, rtol=1e-6, atol=1e-6)


class TestErrors:
    def test_unknown_distance(self):
        with pytest.raises(ValueError, match=r"ConsistencyLoss: .*distance 'l1'.*mse, kl, js"):
            ConsistencyLoss('l1')

    def test_unknown_average(self):
        with pytest.raises(ValueError, match=r"over_classes is 'max'.*mean.*sum"):
            ConsistencyLoss(over_classes='max')

    def test_unknown_positions_to_average_over(self):
        with pytest.raises(ValueError, match=r"average_over is 'all'.*kept.*valid"):
            ConsistencyLoss(average_over='all')

    @pytest.mark.parametrize('confidence', [0, 1, 50, -0.5])
    def test_confidence_that_is_no_probability(self, confidence):
        with pytest.raises(ValueError, match=rf'confidence is {confidence}, .*\(0, 1\).*None'):
            ConsistencyLoss(confidence=confidence)
