"""The kernels equal the 1x1 convolution of the perturbed map, whose noise is drawn beside them."""

import pytest
import torch

from cct_mm import philox
from cct_mm.models.cct.perturbations.numbers import Request, StepKey

pytest.importorskip('triton')

from cct_mm.models.cct.triton.feature_noise import Noise, project, project_backward

BATCH = torch.tensor([0x7654321089ABCDEF])
CONSTANTS = torch.tensor(philox.constants(0x12345678FEDCBA98))
SIZES = dict(
    several_tiles=dict(depth=40, size=(9, 11), channels=5),
    one_position=dict(depth=3, size=(1, 1), channels=2),
    more_channels=dict(depth=33, size=(4, 16), channels=21),
)


def noise_of(decoder, depth, height, width):
    """Return N_k as F-Noise draws it in PyTorch, with a bound of 1."""
    key = StepKey(CONSTANTS, images=BATCH, batch=BATCH)
    request = Request(torch.tensor([decoder]), (height, width, depth), shared=True)
    (numbers,) = key.draw([request])
    return numbers.uniform(-1, 1)[0, 0].movedim(-1, 0).double()


def example(depth, size, channels, batch=2, decoders=(4, 9, 0)):
    z = torch.randn(batch, depth, *size)
    weight = torch.randn(len(decoders), channels, depth)
    return z, weight, Noise(0.3, torch.tensor(decoders), BATCH, CONSTANTS)


def expected(z, weight, noise):
    scale = torch.stack(
        [1 + noise.bound * noise_of(k, *z.shape[1:]) for k in noise.decoders.tolist()]
    )
    return torch.einsum('kcd,kbdhw->kbchw', weight.double(), z.double() * scale[:, None])


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize('sizes', SIZES.values(), ids=SIZES)
def test_project_equals_the_convolution_of_the_perturbed_map(run, sizes, layout):
    z, weight, noise = example(**sizes)
    found = run(project, z.contiguous(memory_format=layout), weight, noise)
    exact = expected(z, weight, noise).float()
    torch.testing.assert_close(found, exact, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize('sizes', SIZES.values(), ids=SIZES)
def test_backward_equals_autograd_and_adds_to_the_gradient_of_z(run, sizes, layout):
    z, weight, noise = example(**sizes)
    before = torch.randn_like(z)
    inputs = [x.requires_grad_() for x in (z.double(), weight.double())]
    y = expected(*inputs, noise)
    grad = torch.randn(y.shape)
    grad_z, grad_weight = torch.autograd.grad(y, inputs, grad.double())
    found_z = before.clone(memory_format=layout)
    found_weight = run(
        project_backward, grad, z.contiguous(memory_format=layout), weight, noise, found_z
    )
    torch.testing.assert_close(found_z, before + grad_z.float(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found_weight, grad_weight.float(), rtol=1e-4, atol=1e-4)


def test_noise_is_centered_and_within_its_bound(run):
    z, weight = torch.ones(1, 64, 8, 8), torch.eye(64)[None]
    number = torch.zeros(1, dtype=torch.int64)
    noise = run(project, z, weight, Noise(0.5, number, BATCH, CONSTANTS)) - 1
    assert noise.abs().max() < 0.5
    # U(-0.5, 0.5) has a standard deviation of 12^-0.5, and its mean over 4096 one of 0.0045.
    assert noise.mean().abs() < 0.02
    assert noise.std().item() == pytest.approx(12**-0.5, rel=0.03)
