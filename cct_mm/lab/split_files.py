"""The files around splits: masks whose classes are counted, and lists that nobody overwrites."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from cct_mm.datasets.file_finder import FileFinder
from cct_mm.datasets.file_lists import Entry
from cct_mm.datasets.reading import read_mask
from cct_mm.files import write_atomically


def count_classes(
    data_root: Path, entries: Sequence[Entry], num_classes: int, ignore: Sequence[int]
) -> np.ndarray:
    """Count the pixels of each class in each mask.

    Args:
        data_root: Folder of the dataset.
        entries: ``(image, label)`` pairs, all with a label.
        num_classes: Number of classes C.
        ignore: Labels that are not counted, also among 0 .. C - 1.

    Returns:
        ``[len(entries), C]`` int64.

    Raises:
        FileNotFoundError: If a mask is missing.
        ValueError: If a mask cannot be read, or holds a label that is neither a class nor ignored.
    """
    counts = np.zeros((len(entries), num_classes), dtype=np.int64)
    # On stderr: the summary on stdout stays clean for a pipe.
    progress = track(entries, 'reading masks', console=Console(stderr=True))
    finder = FileFinder()
    for row, (_, label) in zip(counts, progress, strict=True):
        # Training also finds it when the list has backslashes or another Unicode form.
        asked = os.path.join(data_root, os.path.expanduser(label))
        path = finder.find(asked)
        if path is None:
            raise FileNotFoundError(
                f'mask {label} not found in {data_root}{finder.hint(asked)}; check --data-root and '
                'the list'
            )
        found = np.unique(read_mask(path), return_counts=True)
        for value, pixels in zip(*found, strict=True):
            if value in ignore:
                continue
            if not 0 <= value < num_classes:
                raise ValueError(
                    f'label {value} in {label}, expected 0-{num_classes - 1} or one of the '
                    f'ignored {sorted(ignore)}; check --num-classes and --ignore'
                )
            row[value] = pixels
    return counts


def write_files(out: Path, files: dict[str, str], force: bool) -> list[str]:
    """Write the files that are not there yet.

    Args:
        out: Folder, made if it is missing.
        files: File name -> text.
        force: Whether files with another content may be replaced.

    Returns:
        Names of the files that were written; files that have their text already are left alone.

    Raises:
        FileExistsError: If files with another content are there and ``force`` is False. Then
            nothing is written.
    """
    existing = {
        name: (out / name).read_text(encoding='utf-8') for name in files if (out / name).exists()
    }
    different = [name for name, text in existing.items() if text != files[name]]
    if different and not force:
        raise FileExistsError(
            f'{", ".join(different)} in {out} would change, and runs may have used them; write to '
            f'another folder with --out, or overwrite with --force'
        )
    new = [name for name, text in files.items() if existing.get(name) != text]
    for name in new:
        write_atomically(out / name, files[name])
    return new
