"""The kernel equals autograd, for the gradient and for the Hessian times a direction."""

import pytest
import torch

from cct_mm.models.subpixel_head import subpixel_decode, subpixel_shapes

pytest.importorskip('triton')

from cct_mm.models.cct.triton.kl_gradient import kl_gradient
from cct_mm.models.cct.triton.layout import pack


def example(classes=5, channels=5, doublings=2, size=(3, 5), count=2, batch=2):
    """Return y, u, weights, biases and valid, made up at random."""
    shapes = subpixel_shapes(1, channels, classes, doublings)[1:]
    weights = [torch.randn(count, *shape) * (2 / shape[1]) ** 0.5 for shape in shapes]
    biases = [0.3 * torch.randn(count, shape[0]) for shape in shapes]
    y, u = torch.randn(2, count, batch, channels, *size)
    valid = torch.rand(batch, 1, *(side * 2**doublings for side in size)) < 0.7
    return y, u, weights, biases, valid


def expected(y, u, weights, biases, last_relu, valid, at_zero):
    def divergence(u):
        total = 0
        for k in range(len(y)):
            decoder = [w[k].double() for w in weights], [b[k].double() for b in biases], last_relu
            log_prob = subpixel_decode(y[k].double(), *decoder).log_softmax(dim=1)
            other = subpixel_decode(y[k].double() + u[k], *decoder).log_softmax(dim=1)
            total = total + (log_prob.exp() * (log_prob - other) * valid).sum()
        return total

    gradient, u = torch.func.grad(divergence), u.double()
    result = torch.func.jvp(gradient, (0 * u,), (u,))[1] if at_zero else gradient(u)
    return result.float()


def assert_equals_autograd(run, last_relu, at_zero, **options):
    y, u, weights, biases, valid = example(**options)
    found = run(kl_gradient, y, u, pack(weights, biases), last_relu, valid, at_zero)
    exact = expected(y, u, weights, biases, last_relu, valid, at_zero)
    torch.testing.assert_close(found, exact, rtol=1e-4, atol=2e-6 * exact.abs().max().item())


@pytest.mark.parametrize('last_relu', [False, True])
@pytest.mark.parametrize('at_zero', [False, True])
class TestEqualsAutograd:
    @pytest.mark.parametrize('doublings', [1, 2])
    def test_for_strides_2_and_4(self, run, at_zero, last_relu, doublings):
        assert_equals_autograd(run, last_relu, at_zero, doublings=doublings)

    @pytest.mark.parametrize(('classes', 'channels'), [(2, 2), (11, 11), (19, 7), (21, 40)])
    def test_for_any_number_of_classes(self, run, at_zero, last_relu, classes, channels):
        assert_equals_autograd(
            run, last_relu, at_zero, classes=classes, channels=channels, doublings=1
        )


@pytest.mark.parametrize('at_zero', [False, True])
def test_stride_8_and_maps_larger_than_a_block(run, at_zero):
    assert_equals_autograd(run, False, at_zero, doublings=3, size=(5, 7), count=1, batch=1)
