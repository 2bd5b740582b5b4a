"""How far each position is from its eight neighbors, and which positions are on a boundary."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from cct_mm.labels import IGNORE_INDEX

_OFFSETS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""Down and across to half of the neighbors; a distance is that of both its ends."""
_CHANNELS = 64
"""Channels that are resized at once: at the size of an image, 2048 of them would take gigabytes."""


def neighbor_distances(values: Tensor, valid: Tensor, patch: int = 1) -> Tensor:
    """Return the mean Euclidean distance of each position to its neighbors, up to eight.

    At the border of the image and of what is valid a position has fewer. With ``patch`` the patch
    around a position is compared with those around its neighbors. Where a patch reaches over a
    border, its mean square is taken over what is there, so that distances compare.

    Args:
        values: Vectors; they are resized (bilinear) to the size of ``valid`` if they have another.
        valid: Where the image is, and not its padding.
        patch: Side of the patches, in positions; 1 compares single vectors.

    Shape:
        - values: [B, D, h, w]
        - valid: [B, 1, H, W], bool
        - output: [B, 1, H, W], 0 where nothing is valid
    """
    squares = _squared_differences(values, valid.shape[2:])
    total = squares[0].new_zeros(valid.shape)
    count = torch.zeros_like(total)
    for offset, square in zip(_OFFSETS, squares, strict=True):
        first, second = _ends(valid, offset)
        both = (first & second).to(square)
        distance = _sum_over_patch(square, both, patch).sqrt() * both
        for sums, counts in zip(_ends(total, offset), _ends(count, offset), strict=True):
            sums += distance
            counts += both
    return total / count.clamp(min=1)


def _ends(maps: Tensor, offset: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return views of a map at the two ends of all pairs of positions that are ``offset`` apart."""
    down, across = offset
    height, width = maps.shape[2:]
    first = maps[..., : height - down, max(0, -across) : width - max(0, across)]
    return first, maps[..., down:, max(0, across) : width + min(0, across)]


def _squared_differences(values: Tensor, size: tuple[int, int]) -> list[Tensor]:
    """Return |x(p) - x(p + offset)|^2 of all pairs, [B, 1, H - down, W - |across|] per offset."""
    sums = [0.0] * len(_OFFSETS)
    for part in _resized_parts(values, size):
        for i, offset in enumerate(_OFFSETS):
            first, second = _ends(part, offset)
            sums[i] = sums[i] + (first - second).square().sum(dim=1, keepdim=True)
    return sums


def _resized_parts(values: Tensor, size: tuple[int, int]) -> Iterator[Tensor]:
    for part in values.split(_CHANNELS, dim=1):
        same = part.shape[2:] == torch.Size(size)
        yield part if same else F.interpolate(part, size, mode='bilinear', align_corners=False)


def _sum_over_patch(square: Tensor, both: Tensor, patch: int) -> Tensor:
    """Return the squares of pairs summed over the patches around their ends.

    Args:
        square: Squared differences.
        both: 1 where both ends are valid, else 0.
        patch: Side of the patches.
    """
    if patch == 1:
        return square
    mean = _mean_over_patch(square * both, patch) / _mean_over_patch(both, patch).clamp(min=1e-9)
    return mean * patch**2


def _mean_over_patch(maps: Tensor, patch: int) -> Tensor:
    before, after = patch // 2, (patch - 1) // 2
    padded = F.pad(maps, (before, after, before, after))
    # Rows, then columns: the same mean by 2 x patch additions, not patch^2.
    return F.avg_pool2d(F.avg_pool2d(padded, (patch, 1), stride=1), (1, patch), stride=1)


def on_boundary(labels: Tensor, width: int) -> Tensor:
    """Tell which positions have another label in the square that reaches ``width`` around them.

    Args:
        labels: Label maps; positions of label 255 are on no boundary and make none.
        width: How far a boundary reaches to each side, in positions.

    Shape:
        - labels: [B, H, W], integers
        - output: [B, H, W], bool
    """
    known = labels != IGNORE_INDEX
    # With -1 for what is unknown it is never the highest, neither of the labels nor of -labels.
    highest = _highest_around(torch.where(known, labels, -1), width)
    lowest = IGNORE_INDEX - _highest_around(torch.where(known, IGNORE_INDEX - labels, -1), width)
    return known & (highest > lowest)


def _highest_around(labels: Tensor, width: int) -> Tensor:
    side = 2 * width + 1
    rows = F.max_pool2d(labels[:, None].float(), (side, 1), stride=1, padding=(width, 0))
    return F.max_pool2d(rows, (1, side), stride=1, padding=(0, width))[:, 0]
