"""L_w (Eq. 6): cross-entropy with pseudo-labels, by hand and by autograd."""

import math

import torch
from torch.nn import functional as F

from cct_mm.models.losses import (
    weak_cross_entropy,
    weak_cross_entropy_with_gradient,
    weak_position_weight,
)


def example(seed=0):
    torch.manual_seed(seed)
    logits = torch.randn(2, 5, 3, 4, dtype=torch.float64).mul(2)
    labels = torch.randint(5, (2, 3, 4))
    labels[torch.rand(2, 3, 4) < 0.3] = 255
    return logits, labels, torch.ones(2, 1, 3, 4, dtype=torch.bool)


def test_one_pixel_by_hand():
    logits = torch.tensor([0.75, 0.25]).log().view(1, 2, 1, 1)
    labels, weight = torch.tensor([[[1]]]), torch.ones(1, 1, 1)
    assert math.isclose(
        weak_cross_entropy(logits, labels, weight).item(), math.log(4), rel_tol=1e-6
    )


class TestPositionWeight:
    def test_makes_a_mean_over_the_pixels_with_a_label(self):
        logits, labels, valid = example()
        weight = weak_position_weight(labels, valid, logits.dtype)
        expected = F.cross_entropy(logits, labels, ignore_index=255)
        torch.testing.assert_close(weak_cross_entropy(logits, labels, weight), expected)

    def test_is_zero_on_padding_and_where_there_is_no_label(self):
        _, labels, valid = example()
        valid[1, :, :, 2:] = False
        weight = weak_position_weight(labels, valid, torch.float64)
        assert ((weight > 0) == ((labels != 255) & valid[:, 0])).all()
        assert math.isclose(weight.sum().item(), 1)

    def test_is_zero_everywhere_without_any_label(self):
        _, labels, valid = example()
        weight = weak_position_weight(torch.full_like(labels, 255), valid, torch.float64)
        assert weight.count_nonzero() == 0


def test_with_gradient_equals_value_and_autograd():
    logits, labels, valid = example()
    weight = weak_position_weight(labels, valid, logits.dtype)
    logits.requires_grad_()
    expected = weak_cross_entropy(logits, labels, weight)
    (gradient,) = torch.autograd.grad(expected, logits)
    # [B, C, H, W] as the maps of one decoder: [1, C, P]
    flat = logits.detach().movedim(1, 0).flatten(1)[None]
    value, found = weak_cross_entropy_with_gradient(flat, labels.flatten(), weight.flatten())
    torch.testing.assert_close(value, expected.detach()[None], rtol=1e-12, atol=0)
    torch.testing.assert_close(
        found, gradient.movedim(1, 0).flatten(1)[None], rtol=1e-11, atol=1e-15
    )
