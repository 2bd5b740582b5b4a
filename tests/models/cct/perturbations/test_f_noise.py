"""F-Noise: ``z~ = (z * N) + z``."""

import pytest
import torch

from cct_mm.models.cct.perturbations import FNoise


@pytest.fixture
def z():
    torch.manual_seed(0)
    return torch.randn(3, 16, 12, 10)


@pytest.mark.parametrize('amplitude', [0.3, 0.05])
def test_noise_is_uniform_in_its_range_and_relative_to_each_activation(z, make_context, amplitude):
    perturbation = FNoise(amplitude)
    state = perturbation.draw(make_context(perturbation, z, decoders=2))
    noise = state()
    assert noise.shape == (2, 1, 16, 12, 10) and not torch.equal(noise[0], noise[1])
    assert noise.abs().max() <= amplitude
    assert noise.min() < -0.99 * amplitude and noise.max() > 0.99 * amplitude
    assert noise.std().item() == pytest.approx(amplitude / 3**0.5, rel=0.05)
    assert noise.mean().item() == pytest.approx(0, abs=0.05 * amplitude)
    torch.testing.assert_close(perturbation.perturb(z, state), z * noise + z)
    assert torch.equal(state(), noise)  # backward sees the noise of forward


def test_one_noise_for_the_whole_batch(z, make_context):
    z = z[:1].expand(3, -1, -1, -1)
    perturbation = FNoise()
    (perturbed,) = perturbation.perturb(z, perturbation.draw(make_context(perturbation, z)))
    assert torch.equal(perturbed[0], perturbed[1]) and torch.equal(perturbed[0], perturbed[2])


def test_zeros_stay_zero(z, make_context):
    z = z.relu()
    perturbation = FNoise()
    (perturbed,) = perturbation.perturb(z, perturbation.draw(make_context(perturbation, z)))
    assert torch.equal(perturbed == 0, z == 0)


def test_amplitude_of_the_paper_is_the_default():
    assert FNoise().bound == 0.3
