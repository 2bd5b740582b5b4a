"""Parts that the scripts in ``tools/dataset_converters`` share."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cct_mm.files import write_atomically
from cct_mm.progress_bar import progress_bar


def run(name: str, main: Callable[[], None]) -> None:
    """Run a converter; an error about the data ends it with the message alone.

    Args:
        name: Name of the converter, with which the message begins.
        main: The converter.
    """
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(f'{name}: {error}')


def tracked(items: Iterable[Any], title: str, total: int) -> Iterator[Any]:
    """Yield the items with a progress bar on stderr, so that stdout stays clean for a pipe.

    Args:
        items: The items, perhaps an iterator.
        title: What is done with them.
        total: Number of items.
    """
    with progress_bar(title, total, stderr=True) as update:
        for done, item in enumerate(items, start=1):
            yield item
            update(done)


def check_size(
    mask: Path,
    found: tuple[int, ...],
    image: str | os.PathLike,
    expected: tuple[int, ...],
    fix: str,
) -> None:
    """Check that a mask has the size of its image.

    Args:
        mask: Path of the mask.
        found: Shape of the mask, [H, W].
        image: Path of the image.
        expected: Shape of the image, [H, W].
        fix: What the user can do about it.

    Raises:
        ValueError: If the sizes differ.
    """
    if found != expected:
        sizes = ['x'.join(map(str, shape[::-1])) for shape in (found, expected)]
        raise ValueError(f'{mask} has {sizes[0]} pixels, expected {sizes[1]} like {image}; {fix}')


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write a PNG whole or not at all.

    Args:
        path: The file.
        picture: A label map [H, W] or an image [H, W, 3] in BGR, uint8.
    """
    write_atomically(path, cv2.imencode('.png', picture)[1].tobytes())
