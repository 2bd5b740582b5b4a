"""How the kernels want their operands: layers in tiles of equal sides, maps ordered by leaf.

A position of z is the root of a tree of n levels: each sub-pixel layer splits every pixel into four
children s = 2 dy + dx. Its 4^n *leaves* are the pixels of the image, numbered by their path
s_1, ..., s_n with s_1 the most significant digit.

In the shapes, K decoders have n sub-pixel layers, with c channels before and C classes after them.
CP and LP are c + 1 and C rounded up to a power of two that ``tl.dot`` takes. A decoder's layers are
T = 4 CP ((n - 1) CP + LP) numbers: the tile of each child, [CP, CP], of each layer, and at the end
the four of the last layer, [LP, CP].
"""

from collections.abc import Sequence

import torch
from torch import Tensor

SMALLEST = 16
"""The smallest side of a tile that ``tl.dot`` takes."""


def padded(size: int) -> int:
    """Return the power of two, at least :data:`SMALLEST`, that holds ``size`` elements."""
    return max(SMALLEST, 1 << (size - 1).bit_length())


def pack_layers(weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Tensor:
    """Return all layers in one tensor, each child's weights in a tile padded with zeros.

    Every map in the kernels has an additional channel of ones, as in ``decoder_tree.py``: column c
    of a tile is the bias, and row c of a hidden layer's tile yields the ones of the next map.

    Shape:
        - weights: [K, 4 c_out, c_in] each
        - biases: [K, 4 c_out] each
        - output: [K, T]
    """
    channels, classes = weights[0].shape[2], weights[-1].shape[1] // 4
    width = padded(channels + 1)
    total = 4 * width * ((len(weights) - 1) * width + padded(classes))
    packed = weights[0].new_zeros(len(weights[0]), total)
    tiles = _tiles(packed, len(weights), channels, classes)
    for tile, weight, bias in zip(tiles, weights, biases, strict=True):
        rows = weight.shape[1] // 4
        tile[:, :, :rows, :channels] = weight.unflatten(1, (rows, 4)).transpose(1, 2)
        tile[:, :, :rows, channels] = bias.unflatten(1, (rows, 4)).transpose(1, 2)
    for tile in tiles[:-1]:
        tile[:, :, channels, channels] = 1
    return packed


def unpack_layers(
    packed: Tensor, doublings: int, channels: int, classes: int
) -> tuple[list[Tensor], list[Tensor]]:
    """Undo :func:`pack_layers`, for gradients: return those of the weights and of the biases."""
    tiles = _tiles(packed, doublings, channels, classes)
    rows = [channels] * (doublings - 1) + [classes]
    # [K, 4 c_out, CP] each
    layers = [
        tile[:, :, :n].transpose(1, 2).flatten(1, 2) for tile, n in zip(tiles, rows, strict=True)
    ]
    return [layer[..., :channels] for layer in layers], [layer[..., channels] for layer in layers]


def _tiles(packed: Tensor, doublings: int, channels: int, classes: int) -> list[Tensor]:
    """Return views of the packed layers, [K, 4, CP, CP] each and the last [K, 4, LP, CP]."""
    width = padded(channels + 1)
    heights = [width] * (doublings - 1) + [padded(classes)]
    parts = packed.split([4 * height * width for height in heights], dim=1)
    return [
        part.unflatten(1, (4, height, width)) for part, height in zip(parts, heights, strict=True)
    ]


def to_leaves(x: Tensor, doublings: int, dtype: torch.dtype | None = None) -> Tensor:
    """Order a full-resolution map by leaf, position and channel, in one copy.

    What a program reads for a block of positions at one leaf is then one piece of memory.

    Shape:
        - x: [B, C, h 2^n, w 2^n]
        - output: [B, 4^n, h w, C]
    """
    batch, channels, height, width = x.shape
    side = 2**doublings
    x = x.unflatten(3, (width // side, *[2] * doublings))  # [B, C, h 2^n, w, 2, ..., 2]
    x = x.unflatten(2, (height // side, *[2] * doublings))  # [B, C, h, 2, ..., 2, w, 2, ..., 2]
    # The first run of twos is dy of the levels 1 to n, and the second is dx of them.
    rows, columns = 3, 4 + doublings
    path = [axis for level in range(doublings) for axis in (rows + level, columns + level)]
    x = x.permute(0, *path, 2, 3 + doublings, 1)  # [B, 2, ..., 2, h, w, C]
    leaves = torch.empty(x.shape, dtype=dtype or x.dtype, device=x.device).copy_(x)
    return leaves.view(batch, 4**doublings, -1, channels)
