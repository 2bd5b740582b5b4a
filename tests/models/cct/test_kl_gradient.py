"""The gradient of the KL divergence in a decoder, which I-VAT needs, compared with autograd."""

import pytest
import torch

from cct_mm import testing
from cct_mm.models.cct import decoder_tree
from cct_mm.models.cct.kl_gradient import KLGradient


def kl_gradient(step, most=10**9):
    """What the fused path gives the perturbation of two decoders."""
    first, *weights = step.bank.weights
    layers = decoder_tree.with_bias(weights, step.bank.biases)
    # 2 decoders, 4 classes and 16 pixels for each position.
    return KLGradient(step.z, first, layers, step.bank.last_relu, step.target.valid, 128 * most)


@pytest.mark.parametrize('last_relu', [False, True])
@pytest.mark.parametrize('at_zero', [False, True])
@pytest.mark.parametrize('most', [1, 4, 70, 10**9])
def test_equals_autograd_in_chunks_of_any_size(at_zero, last_relu, most):
    entry = dict(type='I-VAT', num=2)
    step = testing.example_step(entry, padding=True, channels=6, last_relu=last_relu)
    u = torch.linspace(-1, 2, 2 * 3 * 6 * 5 * 6, dtype=torch.float64).reshape(2, 3, 6, 5, 6)
    with torch.no_grad():
        found = kl_gradient(step, most)(u, at_zero)
        expected = torch.cat([step.context(k).kl_gradient(u[k : k + 1], at_zero) for k in (0, 1)])
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@torch.no_grad()
def test_is_the_slope_of_the_gradient_at_zero():
    step = testing.example_step(dict(type='I-VAT', num=2))
    gradient = kl_gradient(step)
    u = torch.linspace(-1, 2, 2 * 3 * 4 * 5 * 6, dtype=torch.float64).reshape(2, 3, 4, 5, 6)
    assert gradient(torch.zeros_like(u), False).abs().max() < 1e-14
    slope = gradient(1e-6 * u, False) / 1e-6
    torch.testing.assert_close(gradient(u, True), slope, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_padding_has_no_gradient():
    step = testing.example_step(dict(type='I-VAT', num=2))
    step.target.valid[:, :, :, 8:] = False
    for at_zero in (False, True):
        found = kl_gradient(step)(torch.ones(2, 3, 4, 5, 6, dtype=torch.float64), at_zero)
        assert found[..., 2:].count_nonzero() == 0
        assert found[..., :2].abs().max() > 0
