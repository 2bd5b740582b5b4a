"""Which class a value of a label file stands for, and how an error lists the values it may be."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from cct_mm.labels import IGNORE_INDEX


def label_table(label_map: dict[int, int] | None, reduce_zero_label: bool) -> np.ndarray:
    """Return which class each value of a label file stands for; 255 means none.

    Args:
        label_map: The dataset's, applied after ``reduce_zero_label``, or None.
        reduce_zero_label: Whether 0 is void and all other values are one too large.

    Returns:
        np.ndarray: [256], int64; a value that is no class keeps its number.
    """
    table = np.arange(IGNORE_INDEX + 1)
    if reduce_zero_label:
        table -= 1
        table[[0, IGNORE_INDEX]] = IGNORE_INDEX
    reduced = table.copy()
    for old, new in (label_map or {}).items():
        table[reduced == old] = new
    return table


def values_of(labels: np.ndarray) -> np.ndarray:
    """Return the distinct values of a mask, sorted."""
    if labels.dtype != np.uint8:
        return np.unique(labels)
    # A histogram is twenty times as fast.
    return np.flatnonzero(cv2.calcHist([labels], [0], None, [256], [0, 256]))


def shows_left_out_class(results: Mapping, values: np.ndarray) -> bool:
    """Tell whether the values of a mask include a class that the dataset's label map leaves out."""
    # The map applies after the shift by reduce_zero_label.
    shift = int(results.get('reduce_zero_label', False))
    pairs = (results.get('label_map') or {}).items()
    void = results.get('void_labels', ())
    left_out = [old + shift for old, new in pairs if new in (-1, IGNORE_INDEX) and old not in void]
    return bool(np.isin(values, left_out).any())


def describe_valid(table: np.ndarray, valid: np.ndarray) -> str:
    """List the labels that a file may hold, such as ``0-10 or 255 (11 read as 255)``."""
    ignored = np.flatnonzero(table[:IGNORE_INDEX] == IGNORE_INDEX)
    text = f'{ranges(np.flatnonzero(valid & (table != IGNORE_INDEX)))} or {IGNORE_INDEX}'
    return f'{text} ({ranges(ignored)} read as {IGNORE_INDEX})' if len(ignored) else text


def ranges(numbers: Sequence[int]) -> str:
    """Write ascending whole numbers in short: 0, 1, 2, 5 is ``0-2, 5``.

    Args:
        numbers: At least one.
    """
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    return ', '.join(f'{run[0]}-{run[-1]}' if len(run) > 1 else f'{run[0]}' for run in runs)
