"""Chunks: the batch cut into blocks of positions, which the fused path takes one at a time.

Each position of z yields its own block of stride x stride pixels, so a chunk needs nothing from
outside, and only the decoders' maps of one chunk are in memory. A chunk is several whole images or,
where one has too many positions, a rectangle of it.
"""

from dataclasses import dataclass
from itertools import product

from torch import Tensor

from . import decoder_tree


@dataclass
class Chunk:
    """A rectangle of one or more images, P positions in all, with maps of their 4^n P pixels.

    The pixels are in tree order, see ``decoder_tree.py``. A map that was not asked for is None.

    Args:
        images: The images in the batch; more than one only if the rectangle is all of them.
        rows: Rows of z.
        columns: Columns of z.
        prob: y^u, the main head's prediction.
        position_weight: Weight of each pixel in the distance.
        valid: False on padding.
        labels: Pseudo-labels.
        weak_position_weight: Weight of each pixel in L_w.

    Shape:
        - prob: [C, 4^n P]
        - all others: [4^n P]
    """

    images: slice
    rows: slice
    columns: slice
    prob: Tensor | None = None
    position_weight: Tensor | None = None
    valid: Tensor | None = None
    labels: Tensor | None = None
    weak_position_weight: Tensor | None = None

    def crop(self, maps: Tensor) -> Tensor:
        """Return a view of this chunk's part of maps of z's size.

        Shape:
            - maps: [..., B, c, h, w]
            - output: [..., c, b, rows, columns]
        """
        return maps[..., self.images, :, self.rows, self.columns].transpose(-4, -3)


def cut_into_chunks(maps: dict[str, Tensor], doublings: int, max_positions: int) -> list[Chunk]:
    """Cut maps of a batch into chunks.

    Args:
        maps: By their names in :class:`Chunk`.
        doublings: n, the number of sub-pixel convolutions of a decoder.
        max_positions: The largest number of positions of a chunk, at least 1.

    Shape:
        - maps: [B, C, H, W] or [B, H, W] each
    """
    stride = 2**doublings
    first = next(iter(maps.values()))
    batch, height, width = len(first), first.shape[-2] // stride, first.shape[-1] // stride
    chunks = []
    images = tile_images(batch, max_positions // (height * width))
    for own, (rows, columns) in product(images, tile(height, width, max_positions)):
        pixels = (
            own,
            ...,
            slice(rows.start * stride, rows.stop * stride),
            slice(columns.start * stride, columns.stop * stride),
        )
        parts = {name: _in_tree_order(x[pixels], doublings) for name, x in maps.items()}
        chunks.append(Chunk(own, rows, columns, **parts))
    return chunks


def _in_tree_order(x: Tensor, doublings: int) -> Tensor:
    """Return [C, 4^n P] of [b, C, H, W], and [4^n P] of [b, H, W]."""
    if x.dim() == 4:
        return decoder_tree.to_tree(x, doublings)
    return decoder_tree.to_tree(x.unsqueeze(1), doublings)[0]


def tile_images(batch: int, most: int) -> list[slice]:
    """Return runs of images of about equal length, at most ``most`` of them, but at least one."""
    runs = -(-batch // max(1, most))
    size = -(-batch // runs)
    return [slice(i, min(i + size, batch)) for i in range(0, batch, size)]


def tile(height: int, width: int, max_positions: int) -> list[tuple[slice, slice]]:
    """Return rows and columns of rectangles that tile a map of ``height x width`` positions.

    A rectangle is several whole rows or, where one has more than ``max_positions``, a part of it.
    """
    parts = -(-width // max_positions)  # of a row; 1 where a whole row fits
    rows, columns = max(1, max_positions // width), -(-width // parts)
    return [
        (slice(y, min(y + rows, height)), slice(x, min(x + columns, width)))
        for y in range(0, height, rows)
        for x in range(0, width, columns)
    ]
