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
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from cct_mm.models.subpixel_head import subpixel_shapes

SMALLEST = 16
"""The smallest side of a tile that ``tl.dot`` takes."""


def padded(size: int) -> int:
    """Return the power of two, at least :data:`SMALLEST`, that holds ``size`` elements."""
    return max(SMALLEST, 1 << (size - 1).bit_length())


class Layers(NamedTuple):
    """The sub-pixel layers of K decoders, from :func:`pack`.

    Args:
        packed: The tiles of all layers, [K, T].
        channels: c.
        classes: C.
        doublings: n.
    """

    packed: Tensor
    channels: int
    classes: int
    doublings: int

    def of(self, decoders: slice) -> 'Layers':
        """Return those of some of the decoders."""
        return self._replace(packed=self.packed[decoders])

    def unpack(self, packed: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return the weights and the biases of such tiles, or of their gradients.

        Shape:
            - packed: [K, T]
            - output: [K, 4 c_out, c_in] each and [K, 4 c_out] each
        """
        _, back = _places(self.channels, self.classes, self.doublings, packed.device)
        shapes = subpixel_shapes(1, self.channels, self.classes, self.doublings)[1:]
        sizes = [rows * columns for rows, columns in shapes] + [rows for rows, _ in shapes]
        parts = packed.index_select(1, back).split(sizes, dim=1)
        weights = [part.unflatten(1, shape) for part, shape in zip(parts, shapes, strict=False)]
        return weights, list(parts[len(shapes) :])


def pack(weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Layers:
    """Pack the layers in two launches, each child's weights in a tile padded with zeros.

    Every map in the kernels has an additional channel of ones, as in ``decoder_tree.py``: column c
    of a tile is the bias, and row c of a hidden layer's tile yields the ones of the next map.

    Shape:
        - weights: [K, 4 c_out, c_in] each
        - biases: [K, 4 c_out] each
    """
    sizes = weights[0].shape[2], weights[-1].shape[1] // 4, len(weights)
    places, _ = _places(*sizes, weights[0].device)
    constants = _constants(weights[0].dtype, weights[0].device).expand(len(weights[0]), 2)
    numbers = torch.cat([*(weight.flatten(1) for weight in weights), *biases, constants], dim=1)
    return Layers(numbers.index_select(1, places), *sizes)


@cache
def _constants(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return what tiles hold beside weights and biases."""
    return torch.tensor([[0, 1]], dtype=dtype, device=device)


@cache
def _places(
    channels: int, classes: int, doublings: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return which number each element of the tiles is, and where in the tiles each number is.

    The numbers are the weights of all layers, their biases, 0 and 1.

    Shape:
        - output: [T] and [number of weights and biases], int64
    """
    shapes = subpixel_shapes(1, channels, classes, doublings)[1:]
    weights, biases = sum(rows * columns for rows, columns in shapes), sum(r for r, _ in shapes)
    zero, one = weights + biases, weights + biases + 1
    width, places, weight, bias = padded(channels + 1), [], 0, weights
    for i, (rows, columns) in enumerate(shapes):
        is_last = i == len(shapes) - 1
        tile = torch.full((4, padded(classes) if is_last else width, width), zero)
        # Row 4 c + s of a layer is channel c of child s.
        row = torch.arange(rows).view(-1, 4).T  # [4, c_out]
        tile[:, : rows // 4, :columns] = weight + row[..., None] * columns + torch.arange(columns)
        tile[:, : rows // 4, columns] = bias + row
        if not is_last:
            tile[:, channels, channels] = one
        places.append(tile.flatten())
        weight, bias = weight + rows * columns, bias + rows
    places = torch.cat(places)
    back = torch.empty(zero, dtype=torch.int64)
    back[places[places < zero]] = (places < zero).nonzero().squeeze(1)
    return places.to(device), back.to(device)


def to_leaves(x: Tensor, doublings: int, dtype: torch.dtype) -> Tensor:
    """Order a full-resolution map by leaf, position and channel, in one copy.

    What a program reads for a block of positions at one leaf is then one piece of memory.

    Shape:
        - x: [B, C, h 2^n, w 2^n], or [B, h 2^n, w 2^n] for C = 1
        - output: [B, 4^n, h w, C]
    """
    batch, side, twos = len(x), 2**doublings, [2] * doublings
    height, width = x.shape[-2] // side, x.shape[-1] // side
    x = x.view(batch, *x.shape[1:-2], height, *twos, width, *twos)
    # The first run of twos is dy of the levels 1 to n, and the second is dx of them.
    columns, rows = x.ndim - doublings, x.ndim - 2 * doublings - 1
    path = [axis for level in range(doublings) for axis in (rows + level, columns + level)]
    x = x.permute(0, *path, rows - 1, columns - 1, *range(1, rows - 1))
    x = x.to(dtype, copy=True, memory_format=torch.contiguous_format)  # [B, 2, ..., 2, h, w, C]
    return x.view(batch, 4**doublings, height * width, -1)
