"""All that is found out about a domain, and what follows from it."""

import filecmp
import os.path as osp
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from mmseg.utils import get_palette

from cct_mm.datasets.file_lists import Entry
from cct_mm.labels import IGNORE_INDEX, has_background

from .find import FoundFiles, files_at, find_files
from .images import Images, look_at_images
from .masks import Classes, Masks, assign, look_at_masks
from .split import hold_out, named_split

LARGEST_WEIGHT = 10.0
"""Of a class in the loss, times the mean: a class of a few pixels would drown all others."""


@dataclass
class Survey:
    """A domain's files and classes.

    Paths of ``split`` and ``unlabeled`` are relative to ``root``.
    """

    root: str
    files: FoundFiles
    masks: Masks
    classes: Classes
    things: tuple[str, ...]
    images: Images
    split: dict[str, list[Entry]]  # images and masks of 'train', 'val' and 'test'
    drawn: bool  # whether 'val' was drawn from the labeled images
    unlabeled: list[str]
    mismatched: list[str]  # images whose masks have another size
    copies: list[str]  # unlabeled images that are copies of labeled ones

    def class_counts(self, part: str) -> np.ndarray:
        """Return the pixels of each class in each image of a part, [N, C]."""
        paths = [osp.join(self.root, mask) for _, mask in self.split[part]]
        return np.array([_counts(self, path) for path in paths]).reshape(
            -1, len(self.classes.names)
        )

    def frequencies(self) -> np.ndarray:
        """Return the share of each class in the labeled pixels of training, [C]."""
        pixels = self.class_counts('train').sum(axis=0)
        return pixels / max(pixels.sum(), 1)

    def class_weights(self) -> list[float]:
        """Return weights 1 / sqrt(frequency), of mean 1 over the labeled pixels of training."""
        shares = self.frequencies()
        roots = np.sqrt(shares)
        weights = 1 / np.where(roots > 0, roots, np.inf) / max(roots.sum(), 1e-9)
        # A class that training never shows has no pixel whose weight would matter.
        weights[shares == 0] = 1
        return weights.clip(max=LARGEST_WEIGHT).round(2).tolist()

    def palette(self) -> list[list[int]] | None:
        """Return the color of each class: that of the masks, where each has another one.

        Otherwise those of PASCAL VOC, as far as they go, with black for a background alone. mmseg
        takes random ones where there is no palette, such as two greens for two classes.
        """
        known = self.masks.palette or {}
        value_of = {label: value for value, label in reversed(self.classes.class_of.items())}
        names = self.classes.names
        colors = [known.get(value_of.get(label)) for label in range(len(names))]
        if None in colors or len(set(colors)) < len(colors):
            colors = get_palette('voc')[not has_background(names) :][: len(colors)]
        return [list(color) for color in colors] if len(colors) == len(names) else None


def survey(
    images: Sequence[str],
    classes: Sequence[str],
    masks: Sequence[str] = (),
    unlabeled: Sequence[str] = (),
    things: Sequence[str] | None = None,
    val: Sequence[str] = (),
    share: float = 0.2,
    orientation: str | None = None,
    seed: int = 0,
) -> Survey:
    """Look at the files of a domain, and decide how it is to be trained.

    Args:
        images: As for :func:`~cct_mm.lab.new_domain.find.find_files`.
        classes: As for :func:`~cct_mm.lab.new_domain.masks.assign`.
        masks: As for ``find_files``.
        unlabeled: As for ``find_files``.
        things: Names of the classes that are foreground. None means all but ``background`` where
            class 0 has that name, else none.
        val: Images of validation, like ``images``.
        share: Share of the labeled images that is held out where no folder is one of validation.
        orientation: As for :func:`~cct_mm.lab.new_domain.images.look_at_images`.
        seed: Of the hold-out.

    Raises:
        FileNotFoundError: If files are missing.
        ValueError: If something is not clear; the message says what to give.
    """
    files = find_files([*images, *val], masks, unlabeled)
    held = look_at_masks([mask for _, mask in files.pairs])
    found_classes = assign(classes, held)
    values = held.values
    pairs = [(image, mask) for image, mask in files.pairs if mask in values]
    labeled = {image: values[mask] for image, mask in pairs}
    looked = look_at_images([*labeled, *files.unlabeled], labeled, orientation)
    usable = [(image, mask) for image, mask in pairs if image in looked.headers]
    fits = {i for i, m in usable if looked.size(i) == (values[m].width, values[m].height)}
    mismatched = [image for image, _ in usable if image not in fits]
    if not fits:
        raise ValueError(
            f'none of {len(usable)} masks has the size of its image, expected all; the first are '
            f'{usable[0][1]} and {usable[0][0]}'
        )
    unlabeled = [path for path in files.unlabeled if path in looked.headers]
    copies = _copies(unlabeled, sorted(fits))
    root = osp.commonpath([osp.dirname(path) for path in (*values, *looked.headers)])
    found = Survey(
        root=root,
        files=files,
        masks=held,
        classes=found_classes,
        things=_things(found_classes.names, things),
        images=looked,
        split={part: [] for part in ('train', 'val', 'test')},
        drawn=False,
        unlabeled=[osp.relpath(path, root) for path in unlabeled if path not in copies],
        mismatched=mismatched,
        copies=copies,
    )
    in_val = {osp.relpath(path, root) for path in files_at(val)}
    for pair in usable:
        if pair[0] in fits:
            image, mask = (osp.relpath(path, root) for path in pair)
            part = 'val' if image in in_val else named_split(image)
            found.split[part].append((image, mask))
    _hold_out(found, share, seed)
    return found


def _copies(paths: Sequence[str], originals: Sequence[str]) -> list[str]:
    """Return the files that are copies of others: trained on, they would spoil a validation."""
    by_size = defaultdict(list)
    for path in originals:
        by_size[osp.getsize(path)].append(path)
    return [
        path
        for path in paths
        if any(filecmp.cmp(path, other, shallow=False) for other in by_size[osp.getsize(path)])
    ]


def _things(names: Sequence[str], things: Sequence[str] | None) -> tuple[str, ...]:
    if things is None:
        return tuple(names[1:]) if has_background(names) else ()
    if unknown := [name for name in things if name not in names]:
        raise ValueError(f'--things {" ".join(unknown)}: expected some of {" ".join(names)}')
    return tuple(things)


def _counts(found: Survey, mask: str) -> list[int]:
    counts = [0] * len(found.classes.names)
    for value, pixels in found.masks.values[mask].pixels.items():
        label = found.classes.class_of.get(value, IGNORE_INDEX)
        if label != IGNORE_INDEX:
            counts[label] += pixels
    return counts


def _hold_out(found: Survey, share: float, seed: int) -> None:
    """Give training its images, and validation its own, where no folder has done so."""
    split = found.split
    if not split['train']:
        part = 'val' if split['val'] else 'test'
        split['train'], split[part] = split[part], []
    if not split['val'] and share:
        counts = found.class_counts('train')
        split['train'], split['val'] = hold_out(split['train'], counts, share, seed)
        found.drawn = bool(split['val'])
