"""Writes what was found out about a domain: all files or none, and none over another."""

import os.path as osp
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cct_mm.datasets.file_lists import format_file_list
from cct_mm.labels import IGNORE_INDEX
from cct_mm.progress_bar import progress_bar
from cct_mm.visualization import indexed_png

from .masks import GRAY, read_colors
from .survey import Survey


def check_free(out: Path) -> None:
    """Check that a folder can be made.

    Raises:
        FileExistsError: If it is there.
    """
    if out.exists():
        raise FileExistsError(
            f'{out} is there already, expected a new folder, because nothing is overwritten; '
            'choose another by --out, or remove it'
        )


def write_domain(out: Path, found: Survey, texts: Mapping[str, str]) -> None:
    """Write the configs, the lists, and masks whose colors were mapped to classes.

    Args:
        out: The folder, which appears when it is complete.
        found: The data.
        texts: The configs by the names of their files.

    Raises:
        FileExistsError: If the folder is there.
    """
    check_free(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f'.{out.name}.', dir=out.parent) as temporary:
        folder = Path(temporary) / out.name
        (folder / 'lists').mkdir(parents=True)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding='utf-8')
        split = found.split
        if found.masks.in_colors:
            split = _write_masks(folder / 'masks', found)
        lists = {part: entries for part, entries in split.items() if entries}
        lists |= {'unlabeled': [(image, None) for image in found.unlabeled]}
        for part, entries in lists.items():
            if entries:
                text = format_file_list(entries)
                (folder / f'lists/{part}.txt').write_text(text, encoding='utf-8')
        check_free(out)
        shutil.move(folder, out)


def _write_masks(folder: Path, found: Survey) -> dict[str, list[tuple[str, str]]]:
    """Write masks as PNGs of class indices, and return the split with their paths."""
    palette = np.arange(256, dtype=np.uint8).repeat(3).reshape(256, 3)
    if colors := found.palette():
        palette[: len(colors)] = colors
    total, done = sum(map(len, found.split.values())), 0
    split: dict[str, list[tuple[str, str]]] = {}
    with progress_bar('writing masks', total, patience=2.0, stderr=True) as update:
        for part, entries in found.split.items():
            split[part] = []
            for image, mask in entries:
                # Two masks may differ in their suffix alone.
                name = mask if mask.lower().endswith('.png') else f'{mask}.png'
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                labels = _labels(found, osp.join(found.root, mask))
                target.write_bytes(indexed_png(labels, palette))
                split[part].append((image, name))
                done += 1
                update(done)
    return split


def _labels(found: Survey, mask: str) -> np.ndarray:
    """Return the class of each pixel of a mask, [H, W], uint8."""
    values = read_colors(mask)
    if not found.masks.colors:
        values //= GRAY
    labels = np.full(values.shape, IGNORE_INDEX, np.uint8)
    for value, label in found.classes.class_of.items():
        labels[values == value] = label
    return labels
