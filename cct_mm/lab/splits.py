"""Seeded, nested, class-balanced splits of a list into labeled and unlabeled images.

These are pure functions; ``tools/make_splits.py`` reads the masks and writes the files.

A split is a prefix of one order of all images, so that 20 labeled images are among the 50, and
these among the 100: a curve over the number of labels then shows what labels add, and not what
other images do. The order depends only on the seed and on the images' paths, and not on the order
of the list, the machine or the version of NumPy: an image's place in the random order is the hash
of the seed and its path.
"""

import hashlib
import json
import posixpath
import re
from collections.abc import Iterable, Sequence

import numpy as np

from cct_mm.datasets.file_lists import Entry, format_file_list

MIN_PIXEL_SHARE = 5e-4
"""Share of an image's pixels from which on a class counts as present in it.

It is 86 pixels of a 360 x 480 image; less is a sliver at the border that teaches nothing.
"""


def nested_splits(
    entries: Sequence[Entry],
    class_counts: np.ndarray | None,
    sizes: Sequence[int],
    seed: int,
) -> dict[int, list[Entry]]:
    """Draw nested labeled splits.

    Without ``class_counts`` the images come in random order. With them the order is greedy: each
    step takes the class that is furthest below its quota and, in random order, the first image
    left that shows it. The quota of a class is the square root of the share of images with it.
    With quotas equal to the share, a class in 4% of the images would often have no image among 20;
    with equal quotas, the few images of the rarest class would fill the split. With the root, 4%
    of the images become about 20% of the split, and a class that is everywhere stays everywhere.
    Every class occurs in each split of at least as many images as there are classes, because a
    class without an image is furthest below any quota.

    Args:
        entries: ``(image, label)`` pairs in any order, each image once.
        class_counts: Pixels of each class in each image, ``[len(entries), num_classes]``, or None
            for random splits.
        sizes: Numbers of labeled images, each in 1 .. ``len(entries)``, all different.
        seed: Seed of the random order.

    Returns:
        For each size its entries, in the order in which they were taken.

    Raises:
        ValueError: If a size is out of range or given twice, an image occurs twice, or
            ``class_counts`` does not fit ``entries``.
    """
    check_sizes(sizes, len(entries))
    paths = [_normalize(image) for image, _ in entries]
    if len(set(paths)) < len(paths):
        twice = next(path for i, path in enumerate(paths) if path in paths[:i])
        raise ValueError(f'{twice} is there twice, expected every image once')
    order = sorted(range(len(entries)), key=lambda i: (_priority(seed, paths[i]), paths[i]))
    if class_counts is not None:
        class_counts = np.asarray(class_counts)
        if class_counts.ndim != 2 or len(class_counts) != len(entries):
            raise ValueError(
                f'class_counts has shape {class_counts.shape}, expected '
                f'[{len(entries)}, num_classes], a row for each entry'
            )
        order = _balance(np.array(order), class_presence(class_counts), max(sizes))
    return {size: [entries[i] for i in order[:size]] for size in sizes}


def _balance(order: np.ndarray, presence: np.ndarray, length: int) -> list[int]:
    """Return the first ``length`` indices of the balanced order, see :func:`nested_splits`."""
    presence = presence[:, presence.any(axis=0)]
    quota = np.sqrt(presence.mean(axis=0))
    taken = np.zeros(presence.shape[1])
    available = presence[order]
    left = np.ones(len(order), dtype=bool)
    balanced: list[int] = []
    while len(balanced) < length:
        position = int(np.argmax(left))
        # Lowest fill first, among equals (all are 0 at the start) the rarest class.
        for column in np.lexsort((quota, taken / quota)):
            candidates = left & available[:, column]
            if candidates.any():
                position = int(np.argmax(candidates))
                break
        left[position] = False
        taken += available[position]
        balanced.append(int(order[position]))
    return balanced


def check_sizes(sizes: Sequence[int], available: int) -> None:
    """Check sizes of splits.

    Args:
        sizes: Numbers of labeled images.
        available: Number of images in the list.

    Raises:
        ValueError: If there is no size, one is below 1 or above ``available``, or two are equal.
    """
    if not sizes:
        raise ValueError('no size of a split is given, expected at least one, such as 20 50 100')
    for size in sizes:
        if size < 1:
            raise ValueError(f'size {size} of a split is not positive, expected 1 to {available}')
        if size > available:
            raise ValueError(
                f'size {size} of a split exceeds the {available} images of the list; '
                f'expected 1 to {available}'
            )
    if len(set(sizes)) < len(sizes):
        twice = next(size for i, size in enumerate(sizes) if size in sizes[:i])
        raise ValueError(f'size {twice} is given twice, expected every size once')


def class_presence(class_counts: np.ndarray) -> np.ndarray:
    """Tell which classes each image shows.

    Args:
        class_counts: Pixels of each class in each image, ``[N, C]``.

    Returns:
        ``[N, C]`` bool: whether the class has at least :data:`MIN_PIXEL_SHARE` of the image's
        counted pixels. For a class that has so many in no image, a single pixel is enough.
    """
    class_counts = np.asarray(class_counts)
    total = class_counts.sum(axis=1, keepdims=True)
    presence = (class_counts > 0) & (class_counts >= MIN_PIXEL_SHARE * total)
    return np.where(presence.any(axis=0), presence, class_counts > 0)


def class_frequencies(class_counts: np.ndarray) -> np.ndarray:
    """Return the share of each class in all counted pixels.

    Args:
        class_counts: Pixels of each class in each image, ``[N, C]``.

    Returns:
        ``[C]`` float64 that sums to 1, or zeros where nothing is counted.
    """
    totals = np.asarray(class_counts, dtype=np.float64).sum(axis=0)
    return totals / max(totals.sum(), 1.0)


def file_list_hash(paths: Iterable[str]) -> str:
    """Return the SHA-256 of a set of paths, in any order, with forward slashes and no ``./``."""
    text = '\n'.join(sorted(_normalize(path) for path in paths))
    return hashlib.sha256(text.encode()).hexdigest()


def split_files(
    entries: Sequence[Entry],
    splits: dict[int, list[Entry]],
    header: dict,
    class_counts: np.ndarray | None = None,
) -> dict[str, str]:
    """Write the files of a set of splits as texts.

    Args:
        entries: All entries of the list that was split.
        splits: The result of :func:`nested_splits`.
        header: What ``manifest.json`` says first (seed, command), ready for JSON.
        class_counts: Pixels of each class in each image, ``[len(entries), num_classes]``, from
            which the manifest says how often each class occurs; None if masks were not read.

    Returns:
        File name -> text. For each size there are ``n20.txt``, with images and labels in the order
        of the split, and ``n20_unlabeled.txt``, with the other images, sorted and without masks;
        a split that takes all images has no unlabeled file. ``manifest.json`` describes them.
    """
    files: dict[str, str] = {}
    described = {'all': _describe(entries, entries, class_counts)}
    for size, labeled in splits.items():
        taken = {image for image, _ in labeled}
        rest = sorted(image for image, _ in entries if image not in taken)
        files[f'n{size}.txt'] = format_file_list(labeled)
        if rest:
            files[f'n{size}_unlabeled.txt'] = format_file_list((image, None) for image in rest)
        described[f'n{size}'] = _describe(entries, labeled, class_counts)
    manifest = json.dumps({**header, 'splits': described}, indent=2)
    # A row of class values is easier to read and to compare on one line.
    manifest = re.sub(r'\[[^\[\]{}]*\]', lambda match: re.sub(r'\s+', ' ', match[0]), manifest)
    files['manifest.json'] = manifest + '\n'
    return files


def _describe(
    entries: Sequence[Entry], labeled: Sequence[Entry], class_counts: np.ndarray | None
) -> dict:
    taken = {image for image, _ in labeled}
    description = {
        'labeled': len(labeled),
        'unlabeled': len(entries) - len(labeled),
        'sha256': file_list_hash(taken),
    }
    if class_counts is not None:
        counts = class_counts[[image in taken for image, _ in entries]]
        description['pixel_share'] = [round(float(v), 6) for v in class_frequencies(counts)]
        description['images_with_class'] = (counts > 0).sum(axis=0).tolist()
    return description


def _normalize(path: str) -> str:
    return posixpath.normpath(path.replace('\\', '/'))


def _priority(seed: int, path: str) -> str:
    # Without the suffix: a copy of the data as PNG has the splits of the one as JPEG.
    stem = posixpath.splitext(path)[0]
    return hashlib.sha256(f'{seed}:{stem}'.encode()).hexdigest()
