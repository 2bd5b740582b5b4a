"""The random numbers of a step: by decoder and image, in any company, fair."""

import pytest
import torch

from cct_mm import keyed, philox
from cct_mm.models.cct.perturbations.numbers import Request, StepKey
from cct_mm.models.transfer import send

KEY = (0, 'camvid', 3)


def drawn(*requests, key=KEY, samples=(5, 6, 7)):
    parts = send(torch.device('cpu'), *StepKey.parts(key, samples))
    return StepKey(*parts).draw(
        [Request(torch.tensor(decoders), shape, shared) for decoders, shape, shared in requests]
    )


def test_they_are_those_of_philox_by_index_decoder_and_image():
    (numbers,) = drawn(([4, 9], (3, 7), False))
    assert numbers.integers.shape == (2, 3, 24) and numbers.integers.dtype == torch.int16
    image = keyed.key('sample', 6)
    words = torch.tensor([[2 << 32 | 9], [image]])
    expected = philox.philox4x32(words, torch.tensor(philox.constants(keyed.key(*KEY))))
    assert torch.equal(numbers.integers[1, 1, 16:], expected.view(torch.int16)[0])


def test_company_does_not_count():
    alone = drawn(([2], (5,), False), samples=[6])[0]
    among = drawn(([1], (2, 40), True), ([0, 2, 3], (5,), False), ([2], (30,), False))[1]
    assert torch.equal(alone.uniform(0, 1)[0, 0], among.uniform(0, 1)[1, 1])


def test_shared_numbers_do_not_depend_on_the_images():
    one, other = (drawn(([1], (4, 5), True), samples=s)[0] for s in ([1, 2], [3]))
    assert one.uniform(0, 1).shape == (1, 1, 4, 5)
    assert torch.equal(one.integers, other.integers)


@pytest.mark.parametrize('key', [(1, 'camvid', 3), (0, 'other', 3), (0, 'camvid', 4)])
def test_another_key_gives_other_numbers(key):
    request = [1], (50,), False
    shares = drawn(request)[0].integers == drawn(request, key=key)[0].integers
    assert shares.float().mean() < 0.05


def test_numbers_of_some_decoders_are_a_part():
    (numbers,) = drawn(([1, 4, 6], (5,), False))
    part = numbers.of(slice(1, 3))
    assert torch.equal(part.uniform(0, 1), numbers.uniform(0, 1)[1:])


class TestDistributions:
    @pytest.fixture
    def numbers(self):
        return drawn(([0, 1], (40000,), False))[0]

    def test_uniform_lies_between_its_ends_and_is_flat(self, numbers):
        values = numbers.uniform(-0.5, 2.0)
        assert values.shape == (2, 3, 40000) and values.dtype == torch.float32
        assert -0.5 < values.min() < -0.499 and 1.999 < values.max() < 2.0
        counts = torch.histc(values, 50, -0.5, 2.0)
        # 4800 a bin, with a standard deviation of 69.
        assert (counts - 4800).abs().max() < 350
        rows = values.flatten(0, 1)
        torch.testing.assert_close(rows.mean(1), torch.full((6,), 0.75), atol=0.02, rtol=0)
        # Decoders and images are independent of each other, and a number of the next one.
        assert (torch.corrcoef(rows) - torch.eye(6)).abs().max() < 0.03
        neighbors = torch.corrcoef(torch.stack([values[0, 0, :-1], values[0, 0, 1:]]))
        assert neighbors[0, 1].abs() < 0.03

    def test_steps_are_equal_and_symmetric(self, numbers):
        numbers.integers = torch.arange(-(2**15), 2**15).to(torch.int16).view(1, 1, -1)
        numbers.shape = (2**16,)
        values = numbers.uniform(-1, 1).flatten().double()
        torch.testing.assert_close(values, -values.flip(0), rtol=0, atol=1e-7)
        torch.testing.assert_close(values.diff(), torch.full((2**16 - 1,), 2.0**-15).double())

    def test_normal_has_the_moments_and_quantiles_of_a_normal(self, numbers):
        values = numbers.normal().flatten()
        assert values.mean().abs() < 0.01
        assert values.var().item() == pytest.approx(1, abs=0.015)
        assert values.pow(4).mean().item() == pytest.approx(3, abs=0.12)
        for quantile in (0.01, 0.2, 0.5, 0.9, 0.999):
            expected = torch.special.ndtri(torch.tensor(quantile))
            assert (values < expected).float().mean().item() == pytest.approx(quantile, abs=0.005)
        assert 3.5 < values.abs().max() < 4.4


def test_nothing_asked_for_is_nothing_drawn():
    assert drawn() == []
