"""DropOut: whole channels of each image go, the mean stays."""

import pytest
import torch

from cct_mm.models.cct.perturbations import DropOut


@pytest.mark.parametrize('p', [0.0, 0.25, 0.5, 0.9])
class TestDropOut:
    def test_whole_channels_are_zero_or_scaled(self, make_context, p):
        torch.manual_seed(0)
        z = torch.rand(2, 50, 3, 4) + 0.1
        (perturbed,) = DropOut(p).perturb(z, DropOut(p).draw(make_context(DropOut(p), z)))
        ratio = (perturbed / z).flatten(2)
        torch.testing.assert_close(ratio, ratio[..., :1].expand_as(ratio))
        kept = ratio[..., 0] != 0
        torch.testing.assert_close(ratio[..., 0][kept], torch.full((kept.sum(),), 1 / (1 - p)))

    def test_preserves_the_mean(self, make_context, p):
        factor = DropOut(p).draw(make_context(DropOut(p), torch.ones(4, 20000, 1, 1)))
        assert factor.mean().item() == pytest.approx(1, abs=0.05)
        assert (factor == 0).float().mean().item() == pytest.approx(p, abs=0.01)


def test_images_are_drawn_by_their_own_key(make_context):
    z = torch.ones(2, 40, 2, 2)
    (both,) = DropOut().draw(make_context(DropOut(), z, samples=[7, 9]))
    assert not torch.equal(both[0], both[1])
    (swapped,) = DropOut().draw(make_context(DropOut(), z, samples=[9, 7]))
    assert torch.equal(swapped, both.flip(0))


@pytest.mark.parametrize('p', [1, -0.1, 50])
def test_p_that_is_no_probability(p):
    with pytest.raises(ValueError, match=rf'DropOut: p is {p}, .*\[0, 1\)'):
        DropOut(p)
