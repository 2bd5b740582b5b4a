"""How many pixels of each value a mask file holds, counted once for each file."""

from dataclasses import dataclass

import numpy as np

from .file_cache import Look, Problem
from .reading import read_mask

CACHE = 'masks-1'
"""Of the counts; its number is raised with what :func:`count_values` returns."""

MOST_VALUES = 1024
"""Values that are kept of a file: what holds more is no label map."""


@dataclass(frozen=True)
class MaskValues:
    """What a mask file holds, before any label map: it depends on the file alone.

    Args:
        width: In pixels.
        height: In pixels.
        pixels: Number of pixels of each value, in the order of the values.
    """

    width: int
    height: int
    pixels: dict[int, int]


def count_values(labels: np.ndarray) -> MaskValues:
    """Count the pixels of each value.

    Args:
        labels: Of an integer type.

    Shape:
        - labels: [H, W]
    """
    height, width = labels.shape
    if labels.dtype == np.uint8:
        counts = np.bincount(labels.ravel(), minlength=256)
        values = np.flatnonzero(counts)
        counts = counts[values]
    else:
        values, counts = np.unique(labels, return_counts=True)
    pixels = zip(values[:MOST_VALUES].tolist(), counts[:MOST_VALUES].tolist(), strict=True)
    return MaskValues(width, height, dict(pixels))


def count_masks(paths: list[str], **look) -> dict[str, MaskValues | Problem]:
    """Count the values of mask files, from the cache where they are known.

    Args:
        paths: The files, which may be there twice.
        **look: Arguments of :class:`Look` but the first two.

    Returns:
        What each file holds, or why it could not be read.

    Raises:
        RuntimeError: If a process dies.
    """
    paths = list(dict.fromkeys(paths))
    found = Look(CACHE, 'counting labels', **look).at(paths, _read)
    return {
        path: packed if isinstance(packed, Problem) else unpack(packed)
        for path, packed in zip(paths, found, strict=True)
    }


def pack(values: MaskValues) -> list:
    """Return the counts as JSON can hold them."""
    return [values.width, values.height, list(values.pixels), list(values.pixels.values())]


def unpack(packed: list) -> MaskValues:
    """Return the counts that were packed."""
    width, height, values, counts = packed
    return MaskValues(width, height, dict(zip(values, counts, strict=True)))


def _read(path: str) -> list:
    return pack(count_values(read_mask(path)))
