"""Distances and boundaries against values computed by hand, and against a loop over positions."""

import math

import pytest
import torch

from cct_mm.lab.cluster_assumption.distances import neighbor_distances, on_boundary
from cct_mm.labels import IGNORE_INDEX


def everywhere(*shape):
    return torch.ones(shape[0], 1, *shape[2:], dtype=torch.bool)


def by_a_loop(values, valid, patch):
    """The definition, position by position, for one image."""
    _, height, width = values.shape
    inside = {(y, x) for y in range(height) for x in range(width) if valid[y, x]}
    around = range(-(patch // 2), (patch + 1) // 2)
    result = torch.zeros(height, width, dtype=values.dtype)
    for y, x in inside:
        distances = []
        for dy, dx in ((a, b) for a in (-1, 0, 1) for b in (-1, 0, 1) if (a, b) != (0, 0)):
            if (y + dy, x + dx) not in inside:
                continue
            squares = [
                (values[:, y + v, x + u] - values[:, y + dy + v, x + dx + u]).square().sum()
                for v in around
                for u in around
                if (y + v, x + u) in inside and (y + dy + v, x + dx + u) in inside
            ]
            distances.append(math.sqrt(sum(squares) / len(squares) * patch**2))
        result[y, x] = sum(distances) / len(distances) if distances else 0.0
    return result


class TestNeighborDistances:
    def test_of_a_constant_map_are_zero(self):
        values = torch.full((2, 3, 5, 6), 0.7)
        for patch in (1, 4):
            assert not neighbor_distances(values, everywhere(*values.shape), patch).any()

    def test_of_two_halves(self):
        # 5 apart: three of eight neighbors are on the other side, at the border two of five.
        values = torch.zeros(1, 2, 4, 6)
        values[:, 0, :, 3:], values[:, 1, :, 3:] = 3.0, 4.0
        found = neighbor_distances(values, everywhere(*values.shape))[0, 0]
        column = torch.tensor([2.0, 15 / 8, 15 / 8, 2.0])
        for x in range(6):
            torch.testing.assert_close(found[:, x], column if x in (2, 3) else 0 * column)

    @pytest.mark.parametrize('patch', [1, 2, 3, 4])
    def test_are_the_definition_with_padding_and_in_a_batch(self, patch):
        generator = torch.Generator().manual_seed(0)
        values = torch.randn(2, 70, 5, 6, generator=generator, dtype=torch.float64)
        valid = everywhere(*values.shape)
        valid[1, :, 3:], valid[1, :, :, 4:] = False, False
        found = neighbor_distances(values, valid, patch)
        for i in range(2):
            expected = by_a_loop(values[i], valid[i, 0], patch)
            torch.testing.assert_close(found[i, 0], expected)
        # What stands in the padding is of no account.
        values[1].masked_fill_(~valid[1], 1e3)
        torch.testing.assert_close(neighbor_distances(values, valid, patch), found)

    def test_follow_the_image_when_it_is_mirrored_and_scaled(self):
        values = torch.randn(1, 3, 7, 5, generator=torch.Generator().manual_seed(1))
        valid = everywhere(*values.shape)
        found = neighbor_distances(values, valid, patch=3)
        mirrored = neighbor_distances(values.flip(3, 2), valid, patch=3)
        torch.testing.assert_close(mirrored.flip(3, 2), found)
        torch.testing.assert_close(neighbor_distances(4 * values, valid, patch=3), 4 * found)

    def test_of_a_coarse_map_are_those_of_the_resized_one(self):
        values = torch.randn(1, 130, 3, 4, generator=torch.Generator().manual_seed(2))
        resized = torch.nn.functional.interpolate(values, (9, 10), mode='bilinear')
        valid = everywhere(*resized.shape)
        found = neighbor_distances(values, valid)
        torch.testing.assert_close(found, neighbor_distances(resized, valid))


class TestOnBoundary:
    def test_reaches_width_to_each_side(self):
        labels = torch.zeros(1, 3, 10, dtype=torch.long)
        labels[..., 5:] = 3
        for width in (1, 2):
            found = on_boundary(labels, width)
            expected = torch.zeros(10, dtype=torch.bool)
            expected[5 - width : 5 + width] = True
            assert (found == expected).all()

    def test_what_is_ignored_makes_none_and_is_on_none(self):
        labels = torch.zeros(1, 1, 9, dtype=torch.long)
        labels[..., 6:] = IGNORE_INDEX
        assert not on_boundary(labels, 2).any()
        # Over a stripe that is ignored two labels still meet, if the width reaches over it.
        labels[..., 8] = 1
        assert on_boundary(labels, 2).sum() == 0
        assert on_boundary(labels, 3)[0, 0].nonzero().flatten().tolist() == [5, 8]
