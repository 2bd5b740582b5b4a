"""Pooling and upsampling as products: PyTorch's values and gradients, in its types and formats."""

import pytest
import torch
from torch.nn import functional as F

from cct_mm.models.resampling import pool, upsample

SCALES = (1, 2, 3, 6)
SIZES = [(7, 9), (1, 4), (16, 3), (12, 18), (33, 65)]
FORMATS = [torch.contiguous_format, torch.channels_last]
ROUNDOFF = {torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11}


def image(size, memory_format=torch.contiguous_format, dtype=torch.float64):
    torch.manual_seed(0)
    x = torch.randn(2, 5, *size, dtype=torch.float64).to(dtype)
    return x.to(memory_format=memory_format).requires_grad_()


def assert_same(found, expected, source, **tolerance):
    """Compare values, and gradients of ``source`` for a random gradient of the values."""
    torch.testing.assert_close(found, expected, **tolerance)
    torch.manual_seed(1)
    gradient = torch.randn_like(expected)
    gradients = [
        torch.autograd.grad(x, source, gradient, retain_graph=True)[0] for x in (found, expected)
    ]
    torch.testing.assert_close(*gradients, **tolerance)


@pytest.mark.parametrize('memory_format', FORMATS)
@pytest.mark.parametrize('size', SIZES)
class TestEqualsPyTorch:
    def test_in_pooling(self, size, memory_format):
        x = image(size, memory_format)
        for found, scale in zip(pool(x, SCALES), SCALES, strict=True):
            expected = F.adaptive_avg_pool2d(x, scale)
            assert_same(found, expected, x, rtol=1e-12, atol=1e-12)

    @pytest.mark.parametrize('align_corners', [False, True])
    @pytest.mark.parametrize('source', [(1, 1), (2, 2), (6, 6), (3, 2)])
    def test_in_upsampling(self, size, memory_format, source, align_corners):
        x, like = image(source), image(size, memory_format)
        found = upsample(x, like, align_corners)
        assert found.is_contiguous(memory_format=memory_format)
        expected = F.interpolate(x, size, mode='bilinear', align_corners=align_corners)
        assert_same(found, expected, x, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('dtype', ROUNDOFF)
class TestInLowPrecision:
    def test_upsampling_rounds_once(self, dtype):
        x = image((3, 3), dtype=dtype)
        found = upsample(x, image((12, 18)), align_corners=False)
        exact = F.interpolate(x.double(), (12, 18), mode='bilinear', align_corners=False)
        assert found.dtype == dtype
        torch.testing.assert_close(found.double(), exact, rtol=1.01 * ROUNDOFF[dtype], atol=1e-6)

    @pytest.mark.parametrize('scale', SCALES)
    def test_pooling_of_a_constant_is_the_constant(self, dtype, scale):
        x = torch.full((1, 2, 100, 70), 1000.0, dtype=dtype)
        (found,) = pool(x, [scale])
        assert found.dtype == dtype
        torch.testing.assert_close(
            found, torch.full_like(found, 1000.0), rtol=2 * ROUNDOFF[dtype], atol=0
        )

    def test_pooling_rounds_as_pytorch_does(self, dtype):
        x = image((12, 18), dtype=dtype)
        for found, scale in zip(pool(x, SCALES), SCALES, strict=True):
            exact = F.adaptive_avg_pool2d(x.double(), scale)
            torch.testing.assert_close(found.double(), exact, rtol=2 * ROUNDOFF[dtype], atol=1e-3)


class TestUnderAutocast:
    @pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
    def test_nothing_changes(self, dtype):
        x = image((12, 18), dtype=dtype)

        def compute():
            pooled = pool(x, [3])[0]
            return pooled, upsample(pooled, x, align_corners=False)

        expected = compute()
        with torch.autocast('cpu', torch.bfloat16):
            found = compute()
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_trains_on_matrices_that_inference_has_made():
    size = (13, 17)
    with torch.inference_mode():
        x = torch.randn(1, 2, *size)
        upsample(pool(x, [2])[0], x, align_corners=False)
    x = image(size, dtype=torch.float32)
    upsample(pool(x, [2])[0], x, align_corners=False).sum().backward()
    assert x.grad.sum() > 0


def test_tells_shapes_without_data():
    x = torch.empty(2, 3, 8, 12, device='meta')
    pooled = pool(x, [2])[0]
    assert pooled.shape == (2, 3, 2, 2)
    assert upsample(pooled, x, align_corners=False).shape == (2, 3, 8, 12)


class Pyramid(torch.nn.Module):
    def forward(self, x):
        return [upsample(part, x, False) for part in pool(x, SCALES)]


def test_exported_program_takes_any_size():
    sides = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    program = torch.export.export(Pyramid(), (torch.rand(2, 5, 11, 14),), dynamic_shapes=(sides,))
    for shape in [(1, 5, 7, 9), (3, 5, 12, 18), (2, 5, 4, 33)]:
        x = torch.rand(shape)
        pooled = [F.adaptive_avg_pool2d(x, scale) for scale in SCALES]
        expected = [F.interpolate(part, shape[2:], mode='bilinear') for part in pooled]
        torch.testing.assert_close(program.module()(x), expected)
