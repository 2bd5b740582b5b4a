"""Set labeled images aside for validation, such that every class stays in training."""

import posixpath
import re
from collections.abc import Sequence

import numpy as np

from cct_mm.datasets.file_lists import Entry
from cct_mm.lab.splits import class_presence, nested_splits

SPLITS = {
    'val': 'val', 'valid': 'val', 'validation': 'val', 'test': 'test', 'testing': 'test',
}  # fmt: skip
"""What the words of folders say about the images in them."""


def named_split(image: str) -> str:
    """Return ``'train'``, ``'val'`` or ``'test'``, as the folders of an image are called.

    Args:
        image: Path below the domain's folder, with forward slashes.
    """
    words = re.findall(r'[a-z]+', posixpath.dirname(image).lower())
    return next((SPLITS[word] for word in words if word in SPLITS), 'train')


def hold_out(
    entries: Sequence[Entry], class_counts: np.ndarray, share: float, seed: int
) -> tuple[list[Entry], list[Entry]]:
    """Divide labeled images into training and validation.

    A class that one image shows stays in training; of the images with another class, at least one
    and about ``share`` may go. So training keeps every class, and validation has those it can. If
    these limits leave too few, images go whose classes training still has.

    Args:
        entries: ``(image, label)`` pairs.
        class_counts: Pixels of each class in each image, ``[len(entries), num_classes]``.
        share: Share of the images that validation gets, in [0, 1).
        seed: Seed of the draw, see :func:`~cct_mm.lab.splits.nested_splits`.

    Returns:
        The images of training and of validation, each in the order of ``entries``.
    """
    wanted = min(round(share * len(entries)), len(entries) - 1)
    if share and len(entries) > 1:
        wanted = max(1, wanted)
    if not wanted or len(entries) < 2:
        return list(entries), []
    # The images that show rare classes come first.
    order = nested_splits(entries, class_counts, [len(entries)], seed)[len(entries)]
    row_of = {entry: row for row, entry in enumerate(entries)}
    presence = class_presence(class_counts)
    images_with = presence.sum(axis=0)
    most = np.maximum(images_with - 1, 0)
    limits = np.minimum(most, np.maximum(1, (share * images_with).round()))
    chosen: set[int] = set()
    taken = np.zeros_like(images_with)
    for limit in (limits, most):
        for row in map(row_of.get, order):
            if (
                len(chosen) < wanted
                and row not in chosen
                and (taken + presence[row] <= limit).all()
            ):
                chosen.add(row)
                taken += presence[row]
    return (
        [entry for i, entry in enumerate(entries) if i not in chosen],
        [entry for i, entry in enumerate(entries) if i in chosen],
    )
