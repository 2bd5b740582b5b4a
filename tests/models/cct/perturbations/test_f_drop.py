"""F-Drop: ``M = {z' < gamma}``, the most active positions go."""

import pytest
import torch

from cct_mm.models.cct.perturbations import FDrop


def test_by_hand(make_context):
    # Channel sums 10, 8, 7, 2 in the first image and 1, 2, 3, 4 in the second: of its maximum each.
    z = torch.tensor([[[4.0, 8, 3, 1], [6, 0, 4, 1]], [[0.5, 1, 1, 4], [0.5, 1, 2, 0]]])
    drop = FDrop(threshold=(0.75, 0.75))
    context = make_context(drop, z.view(2, 2, 1, 4), decoders=3)
    mask = drop.draw(context)
    assert mask.shape == (3, 2, 1, 1, 4) and torch.equal(mask[0], mask[2])
    mask = mask[:1]
    assert mask.view(2, 4).tolist() == [[0, 0, 1, 1], [1, 1, 0, 0]]
    (perturbed,) = drop.perturb(context.z, mask)
    assert perturbed[0, :, 0].tolist() == [[0, 0, 3, 1], [0, 0, 4, 1]]


def test_a_position_at_the_threshold_goes(make_context):
    drop, z = FDrop((0.5, 0.5)), torch.tensor([4.0, 2, 1.99]).view(1, 1, 1, 3)
    mask = drop.draw(make_context(drop, z))
    assert mask.flatten().tolist() == [0, 0, 1]


def test_padding_does_not_count_in_the_maximum(make_context):
    z = torch.tensor([10.0, 8, 7, 100]).view(1, 1, 1, 4)
    valid = torch.tensor([True, True, True, False]).view(1, 1, 1, 4)
    drop = FDrop(threshold=(0.75, 0.75))
    assert drop.draw(make_context(drop, z)).flatten().tolist() == [1, 1, 1, 0]
    mask = drop.draw(make_context(drop, z, valid=valid)).flatten().tolist()
    assert mask[:3] == [0, 0, 1]


def test_gamma_is_uniform_for_each_image(make_context):
    # Sums 0.001, ..., 1: the share that stays is gamma itself.
    z = torch.arange(1, 1001).div(1000).view(1, 1, 1, 1000).expand(400, -1, -1, -1)
    gamma = FDrop().draw(make_context(FDrop(), z))[0].float().mean(dim=(1, 2, 3))
    assert 0.599 < gamma.min() < 0.61 and 0.89 < gamma.max() < 0.901
    assert gamma.mean().item() == pytest.approx(0.75, abs=0.02)
    assert gamma.std().item() == pytest.approx(0.3 / 12**0.5, rel=0.1)


def test_gamma_may_be_one_for_the_batch(make_context):
    # As above: the share of positions that stays is gamma.
    z = torch.arange(1, 1001).div(1000).view(1, 1, 1, 1000).expand(3, -1, -1, -1)
    drop = FDrop((0.7, 0.9), one_gamma=True)
    gamma = drop.draw(make_context(drop, z, decoders=200)).float().mean(dim=(2, 3, 4))
    assert torch.equal(gamma, gamma[:, :1].expand(-1, 3))
    assert 0.699 < gamma.min() < 0.71 and 0.89 < gamma.max() < 0.901


def test_scale_of_z_does_not_count(make_context):
    torch.manual_seed(0)
    z = torch.rand(2, 5, 6, 6)
    mask = FDrop().draw(make_context(FDrop(), z))
    assert 0 < mask.float().mean() < 1
    assert torch.equal(FDrop().draw(make_context(FDrop(), 8 * z)), mask)


def test_an_image_that_is_all_padding_gives_no_nan(make_context):
    z, valid = torch.rand(1, 2, 3, 3), torch.zeros(1, 1, 3, 3, dtype=torch.bool)
    mask = FDrop().draw(make_context(FDrop(), z, valid=valid))
    assert FDrop().perturb(z, mask).isfinite().all()
