"""Pooling to a few positions, and back, as products with fixed matrices.

Adaptive average pooling and bilinear interpolation are linear in the map, so for given sizes each
is one matrix [positions out, positions in]. PyTorch's own kernels are slow where one of the sizes
is tiny: backward, many positions add up their gradients in the same few. A product's backward is a
product, in which nothing waits for anything else, and its result is the same in every run.

``torch.export`` traces sizes that are symbols, for which no matrix can be kept; it gets forms of
the same that compute with them.
"""

import math
from collections.abc import Sequence
from contextlib import nullcontext
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

CACHED_SIZES = 64
"""Number of matrices that are kept; images of many sizes (inference) make new ones."""


def pool(x: Tensor, scales: Sequence[int]) -> list[Tensor]:
    """Return ``[F.adaptive_avg_pool2d(x, scale) for scale in scales]``, which reads x once.

    Args:
        x: The map, of any floating type; autocast does not change it.
        scales: Heights, which are the widths too, of the pooled maps, in positions.

    Shape:
        - x: [B, D, h, w]
        - output: [B, D, scale, scale] each, in x's type and memory format
    """
    if torch.compiler.is_exporting():
        return [pool_any_size(x, (scale, scale)) for scale in scales]
    size, cells = tuple(x.shape[2:]), [(scale, scale) for scale in scales]
    sums, divisor = _pool_matrix(size, tuple(scales), x.dtype, x.device)
    pooled = _times(sums, x, channels_last=_is_channels_last(x))  # [B, D, sum of scale^2]
    pooled = (pooled / divisor).to(x.dtype)
    parts = pooled.split([height * width for height, width in cells], dim=2)
    return [part.unflatten(2, cell) for part, cell in zip(parts, cells, strict=True)]


def pool_any_size(x: Tensor, cells: tuple[int, int]) -> Tensor:
    """Return ``F.adaptive_avg_pool2d(x, cells)`` of a map whose size may be a symbol.

    Args:
        x: The map.
        cells: Height and width of the output, in positions.

    Shape:
        - x: [B, D, h, w]
        - output: [B, D, *cells]
    """
    down, across = (_means(side, n, x) for side, n in zip(x.shape[2:], cells, strict=True))
    return down @ x @ across.mT


def upsample(x: Tensor, like: Tensor, align_corners: bool) -> Tensor:
    """Return ``F.interpolate(x, size of like, mode='bilinear', align_corners=...)``.

    Args:
        x: A map of few positions. Low precision is computed in float32, and rounded once.
        like: A map whose size and memory format the output has.
        align_corners: As for ``F.interpolate``.

    Shape:
        - x: [B, D, s, t]
        - like: [B, *, h, w]
        - output: [B, D, h, w], in x's type
    """
    if torch.compiler.is_exporting():
        return F.interpolate(x, like.shape[2:], mode='bilinear', align_corners=align_corners)
    size, dtype = tuple(like.shape[2:]), torch.promote_types(x.dtype, torch.float32)
    matrix = _upsample_matrix(tuple(x.shape[2:]), size, align_corners, dtype, x.device)
    result = _times(matrix, x.to(dtype), channels_last=_is_channels_last(like))  # [B, D, h w]
    return result.to(x.dtype).unflatten(2, size)


def _means(side: int, cells: int, like: Tensor) -> Tensor:
    """Return the matrix that takes the means of the windows along one side, [cells, side]."""
    cell = torch.arange(cells, device=like.device)[:, None]
    start, end = cell * side // cells, ((cell + 1) * side + cells - 1) // cells
    position = torch.arange(side, device=like.device)
    inside = (position >= start) & (position < end)
    return inside.to(like.dtype) / (end - start)


def _is_channels_last(x: Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last)


def _times(matrix: Tensor, x: Tensor, channels_last: bool) -> Tensor:
    """Return the product over positions: ``matrix`` [P, h w] and x [B, D, h, w] to [B, D, P].

    Args:
        matrix: The matrix, of x's type.
        x: The map.
        channels_last: Whether the output's memory is [B, P, D], else [B, D, P].
    """
    kind = x.device.type
    # Shapes alone, on device meta, know no autocast.
    known = torch.amp.is_autocast_available(kind)
    with torch.autocast(kind, enabled=False) if known else nullcontext():
        if channels_last:
            return (matrix @ x.flatten(2).mT).mT
        return x.flatten(2) @ matrix.T


# Made on the device, so that nothing is copied, and as ordinary tensors, which training may save
# for its backward even if inference has made them.
def _made_once(function):
    @lru_cache(maxsize=CACHED_SIZES)
    def make(*args):
        with torch.inference_mode(False), torch.no_grad():
            return function(*args)

    return make


@_made_once
def _pool_matrix(
    size: tuple[int, int], scales: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return the matrix that pools to all scales, and what its product is to be divided by.

    The entries 1 / n of a window of n positions would be rounded in low precision, and sums without
    them overflow float16. So they are powers of two, and the product is divided by 1/2 to 1.

    Shape:
        - output: [sum of scale^2, h w] and [sum of scale^2]
    """
    rows, divisors = [], []
    for scale in scales:
        # 1 where a position is in a window, else 0: [h, scale] and [w, scale].
        down, across = (
            (F.adaptive_avg_pool1d(torch.eye(side, device=device), scale) > 0).float()
            for side in size
        )
        window = torch.einsum('hi,wj->ijhw', down, across).reshape(scale**2, -1)
        count = window.sum(dim=1)
        power = torch.exp2(-count.log2().ceil())
        rows.append(window * power[:, None])
        divisors.append(count * power)
    wide = torch.promote_types(dtype, torch.float32)
    return torch.cat(rows).to(dtype), torch.cat(divisors).to(wide)


@_made_once
def _upsample_matrix(
    source: tuple[int, int],
    target: tuple[int, int],
    align_corners: bool,
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:
    """Return the matrix of a bilinear interpolation, [h w, s t]: it is separable."""
    unit = torch.eye(math.prod(source), dtype=dtype, device=device)
    maps = F.interpolate(
        unit.unflatten(1, (1, *source)), target, mode='bilinear', align_corners=align_corners
    )  # [s t, 1, h, w]
    return maps.flatten(1).T.contiguous()
