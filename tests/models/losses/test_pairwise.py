"""L_P-Wise (Eq. 10): the variance of the auxiliary predictions."""

import math

import pytest
import torch

from cct_mm.models.losses import PairwiseLoss


def random_logits(decoders=4, seed=0):
    torch.manual_seed(seed)
    return torch.randn(decoders, 2, 3, 4, 5, dtype=torch.float64)  # [K, B, C, H, W]


class TestValue:
    def test_two_decoders_by_hand(self):
        # Predictions (.9, .1) and (.5, .5): each differs by (.2, -.2) from their mean.
        logits = torch.tensor([[math.log(9), 0], [0, 0]], dtype=torch.float64).view(2, 1, 2, 1, 1)
        weight = torch.full((1, 1, 1), 3.0, dtype=torch.float64)
        assert PairwiseLoss()(logits, weight).item() == pytest.approx(3 * 0.08, rel=1e-12)

    def test_equals_the_equation_in_a_loop(self):
        logits, weight = random_logits(), torch.rand(2, 4, 5, dtype=torch.float64)
        predictions = [decoder.softmax(dim=1) for decoder in logits]
        mean = sum(predictions) / 4
        expected = sum(((p - mean) ** 2).sum(dim=1) for p in predictions) / 4
        torch.testing.assert_close(PairwiseLoss()(logits, weight), (expected * weight).sum())

    def test_zero_for_equal_decoders_and_independent_of_their_order(self):
        logits, weight = random_logits(), torch.rand(2, 4, 5, dtype=torch.float64)
        loss = PairwiseLoss()
        assert loss(logits[:1].expand(4, -1, -1, -1, -1), weight).item() < 1e-30
        torch.testing.assert_close(loss(logits.flip(0), weight), loss(logits, weight))
        assert loss(logits, weight) > 0.01


class TestGradient:
    def test_with_gradient_equals_value_and_autograd(self):
        logits = random_logits()[:, 0].flatten(2).requires_grad_()  # [K, C, P]
        weight = torch.rand(20, dtype=torch.float64)
        expected = PairwiseLoss()(logits[:, None, ..., None], weight[None, :, None])
        (gradient,) = torch.autograd.grad(expected, logits)
        share = torch.full((4,), 0.25, dtype=torch.float64)
        value, found = PairwiseLoss.with_gradient(logits.detach().clone(), weight, share)
        torch.testing.assert_close(value, expected.detach(), rtol=1e-12, atol=0)
        torch.testing.assert_close(found, gradient, rtol=1e-11, atol=1e-15)

    def test_decoders_that_are_not_compared_change_nothing_and_get_nothing(self):
        logits = random_logits()[:, 0].flatten(2)
        weight = torch.rand(20, dtype=torch.float64)
        half = torch.full((2,), 0.5, dtype=torch.float64)
        expected, gradient = PairwiseLoss.with_gradient(logits[[1, 2]], weight, half)
        share = torch.tensor([0, 0.5, 0.5, 0], dtype=torch.float64)
        value, found = PairwiseLoss.with_gradient(logits, weight, share)
        torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)
        torch.testing.assert_close(found[1:3], gradient, rtol=1e-11, atol=1e-15)
        assert found[[0, 3]].count_nonzero() == 0

    def test_descending_brings_the_decoders_together(self):
        logits = random_logits()[:, 0].flatten(2)
        weight = torch.ones(20, dtype=torch.float64)
        share = torch.full((4,), 0.25, dtype=torch.float64)
        before, gradient = PairwiseLoss.with_gradient(logits, weight, share)
        after, _ = PairwiseLoss.with_gradient(logits - 0.1 * gradient, weight, share)
        assert after < before


class TestSubset:
    def test_is_a_function_of_its_key(self):
        loss = PairwiseLoss(num_decoders=8)
        torch.manual_seed(0)
        first = loss.subset(30, 5, 'camvid', 17)
        torch.manual_seed(1)
        assert loss.subset(30, 5, 'camvid', 17) == first
        assert loss.subset(30, 5, 'camvid', 18) != first
        assert loss.subset(30, 5, 'sunrgbd', 17) != first

    def test_is_sorted_without_repetition_and_of_the_size_asked_for(self):
        for iteration in range(20):
            subset = PairwiseLoss(num_decoders=8).subset(30, 0, iteration)
            assert subset == sorted(set(subset)) and len(subset) == 8
            assert 0 <= subset[0] and subset[-1] < 30

    def test_all_decoders_take_their_turn_alike(self):
        draws = 3000
        counts = torch.zeros(10)
        for iteration in range(draws):
            counts[PairwiseLoss(num_decoders=3).subset(10, 0, iteration)] += 1
        # Each in 3 of 10 draws; five standard deviations of a binomial count.
        assert (counts / draws - 0.3).abs().max() < 5 * math.sqrt(0.3 * 0.7 / draws)

    def test_fewer_decoders_than_asked_for_are_all_compared(self):
        assert PairwiseLoss(num_decoders=8).subset(3, 0) == [0, 1, 2]

    @pytest.mark.parametrize('number', [1, 0, -8])
    def test_one_decoder_alone_cannot_be_compared(self, number):
        with pytest.raises(ValueError, match=rf'PairwiseLoss: num_decoders is {number}, .*2.*8'):
            PairwiseLoss(num_decoders=number)
