"""What is known of each file, found out once: the header of an image, the values of a mask."""

from dataclasses import asdict, dataclass

import numpy as np

from ..reading import Header, read_header, read_mask
from .file_cache import Look, Problem

# The numbers are raised when what is kept changes: the fields of Header, the counts.
HEADERS, MASKS = 'headers-1', 'masks-1'

MOST_VALUES = 1024
"""Number of values that are kept of a mask: a file with more is no label map."""


@dataclass(frozen=True)
class MaskValues:
    """What a mask file holds, before any label map: it depends on the file alone."""

    width: int
    height: int
    pixels: dict[int, int]  # number of pixels of each value, in the order of the values

    @classmethod
    def of(cls, labels: np.ndarray) -> 'MaskValues':
        """Count the pixels of each value of labels of an integer type, [H, W]."""
        height, width = labels.shape
        if labels.dtype == np.uint8:
            counts = np.bincount(labels.ravel(), minlength=256)
            values = np.flatnonzero(counts)
            counts = counts[values]
        else:
            values, counts = np.unique(labels, return_counts=True)
        pixels = zip(values[:MOST_VALUES].tolist(), counts[:MOST_VALUES].tolist(), strict=True)
        return cls(width, height, dict(pixels))

    def pack(self) -> list:
        """Return the counts as JSON can hold them."""
        return [self.width, self.height, list(self.pixels), list(self.pixels.values())]

    @classmethod
    def unpack(cls, packed: list) -> 'MaskValues':
        """Return the counts that were packed."""
        width, height, values, counts = packed
        return cls(width, height, dict(zip(values, counts, strict=True)))


def count_masks(paths: list[str], **look) -> dict[str, MaskValues | Problem]:
    """Count the values of mask files, from the cache where they are known.

    Args:
        paths: The files; a path may occur twice.
        **look: Arguments of :class:`Look` but the first two.

    Returns:
        What each file holds, or why it could not be read.

    Raises:
        RuntimeError: If a process dies.
    """
    found = Look(MASKS, 'counting labels', **look).at_paths(paths, _read_mask)
    return {
        path: packed if isinstance(packed, Problem) else MaskValues.unpack(packed)
        for path, packed in found.items()
    }


def read_headers(paths: list[str], **look) -> dict[str, Header | Problem]:
    """Read the headers of images; arguments and errors are those of :func:`count_masks`."""
    found = Look(HEADERS, 'reading headers', **look).at_paths(paths, _read_header)
    return {
        path: header if isinstance(header, Problem) else Header(**header)
        for path, header in found.items()
    }


def _read_mask(path: str) -> list:
    return MaskValues.of(read_mask(path)).pack()


def _read_header(path: str) -> dict:
    return asdict(read_header(path))
