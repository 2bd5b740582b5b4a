"""Chunks: the images cut into rectangles of positions, which the fused path takes one at a time.

A position of z makes a block of stride x stride pixels on its own, so a chunk needs nothing from
outside its rectangle, and the memory for the maps of the decoders is that of one chunk.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from torch import Tensor

from . import decoder_tree
from .unsupervised import Target


@dataclass
class Chunk:
    """A rectangle of P positions of one image, with what the losses need of its pixels.

    The pixels stand in tree order (``decoder_tree.py``), 4^n for each position.

    Args:
        image: Index of the image in the batch.
        rows: Rows of z.
        columns: Columns of z.
        prob: y^u, the prediction that the decoders are held to.
        weight: Weight of each pixel in the distance.
        valid: False on padding.
        labels: Pseudo-labels, or None without L_w.
        label_weight: Weight of each pixel in L_w, or None without it.

    Shape:
        - prob: [C, 4^n P]
        - weight, valid, labels, label_weight: [4^n P]
    """

    image: int
    rows: slice
    columns: slice
    prob: Tensor
    weight: Tensor
    valid: Tensor
    labels: Tensor | None = None
    label_weight: Tensor | None = None

    def of(self, maps: Tensor) -> Tensor:
        """Return the view of this chunk in maps of z's size.

        Shape:
            - maps: [..., B, c, h, w]
            - output: [..., c, rows, columns]
        """
        return maps[..., self.image, :, self.rows, self.columns]


def cut_into_chunks(
    target: Target,
    weight: Tensor,
    label_weight: Tensor | None,
    doublings: int,
    max_positions: int,
) -> list[Chunk]:
    """Cut the images of a batch into chunks, once for all decoders.

    Args:
        target: Prediction, padding and pseudo-labels.
        weight: Weight of each pixel in the distance.
        label_weight: Weight of each pixel in L_w, or None without pseudo-labels.
        doublings: n, the number of sub-pixel convolutions of a decoder.
        max_positions: The largest number of positions of a chunk, at least 1.

    Shape:
        - weight, label_weight: [B, H, W]
    """
    stride = 2**doublings
    batch, _, height, width = target.prob.shape
    maps = {'weight': weight, 'valid': target.valid.squeeze(1)}  # [B, H, W] each
    if label_weight is not None:
        maps |= {'labels': target.pseudo_labels, 'label_weight': label_weight}
    chunks = []
    areas = list(rectangles(height // stride, width // stride, max_positions))
    for image, (rows, columns) in product(range(batch), areas):
        pixels = (
            ...,
            slice(rows.start * stride, rows.stop * stride),
            slice(columns.start * stride, columns.stop * stride),
        )
        prob = decoder_tree.to_tree(target.prob[image][pixels], doublings)  # [C, 4^n P]
        others = {  # [4^n P] each
            name: decoder_tree.to_tree(x[image][pixels][None], doublings)[0]
            for name, x in maps.items()
        }
        chunks.append(Chunk(image, rows, columns, prob, **others))
    return chunks


def rectangles(height: int, width: int, max_positions: int) -> Iterator[tuple[slice, slice]]:
    """Yield the rows and columns of rectangles that tile a map: whole rows, or a part of one.

    Args:
        height: Of the map, in positions.
        width: Of the map, in positions.
        max_positions: The largest number of positions of a rectangle, at least 1.
    """
    parts = -(-width // max_positions)  # of a row; 1 where a whole row fits
    rows, columns = max(1, max_positions // width), -(-width // parts)
    for y in range(0, height, rows):
        for x in range(0, width, columns):
            yield slice(y, min(y + rows, height)), slice(x, min(x + columns, width))
