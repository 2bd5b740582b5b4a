"""How many pixels and images of each class the masks of a domain's sources hold."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from cct_mm.labels import IGNORE_INDEX

from ..transforms import LoadCheckedAnnotations
from .file_facts import MaskValues
from .sources import FileSource


@dataclass
class LabelCounts:
    """The labels of several sources of one domain."""

    classes: tuple[str, ...]
    pixels: np.ndarray  # [C], number of pixels of each class
    images: np.ndarray  # [C], number of images that show each class
    ignored: int = 0  # number of pixels without a label (255)
    masks: int = 0  # number of masks
    # Number of pixels of each value of the files, before any label map.
    values: Counter = field(default_factory=Counter)
    # Masks without a labeled pixel.
    empty: list[str] = field(default_factory=list)
    # Masks that cannot be read, and why.
    unreadable: dict[str, str] = field(default_factory=dict)
    # What a source's loader says of its first mask with labels out of range; how many there are.
    wrong: list[tuple[str, int]] = field(default_factory=list)
    reduce_zero_label: bool = False  # whether a source reads 0 as no label
    # What the dataset says of one of its samples.
    sample: dict = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Number of pixels, with and without a label."""
        return int(self.pixels.sum()) + self.ignored

    @property
    def absent(self) -> list[str]:
        """Names of the classes without a labeled pixel."""
        return [name for name, n in zip(self.classes, self.pixels, strict=True) if n == 0]

    @property
    def present(self) -> list[str]:
        """Names of the classes with labeled pixels."""
        return [name for name, n in zip(self.classes, self.pixels, strict=True) if n]


def count_labels(
    sources: Iterable[FileSource], masks: Mapping[str, MaskValues | str]
) -> LabelCounts:
    """Count the labels of sources.

    Args:
        sources: Sources of one domain, all of which read masks.
        masks: What each mask file holds, or why it cannot be read; masks that are not in it are
            left out.
    """
    sources = list(sources)
    classes = sources[0].classes
    zeros = np.zeros(len(classes), np.int64)
    counts = LabelCounts(classes, zeros, zeros.copy())
    for source in sources:
        counts.sample = counts.sample or source.infos[0]
        counts.reduce_zero_label |= bool(source.infos[0].get('reduce_zero_label', False))
        class_of: dict[int, int] = {}
        wrong = []
        for info in source.infos:
            path = info.get('seg_map_path') or ''
            values = masks.get(path) if path else f'{info["img_path"]} has no mask, expected one'
            if values is None:
                continue
            counts.masks += 1
            if isinstance(values, str):
                counts.unreadable[path] = values
                continue
            if not _add(counts, values, source, class_of):
                wrong.append(info)
            elif all(class_of[value] == IGNORE_INDEX for value in values.pixels):
                counts.empty.append(path)
        if wrong:
            counts.wrong.append((_out_of_range(source, wrong[0], masks), len(wrong)))
    return counts


def _add(
    counts: LabelCounts, values: MaskValues, source: FileSource, class_of: dict[int, int]
) -> bool:
    """Add the pixels of a mask, and tell whether each of its values is a class or no label."""
    counts.values.update(values.pixels)
    seen, right = set(), True
    for value, pixels in values.pixels.items():
        if value not in class_of:
            class_of[value] = source.class_of(value)
        label = class_of[value]
        if label == IGNORE_INDEX:
            counts.ignored += pixels
        elif 0 <= label < len(counts.classes):
            counts.pixels[label] += pixels
            seen.add(label)
        else:
            right = False
    counts.images[list(seen)] += 1
    return right


def _out_of_range(source: FileSource, info: dict, masks: Mapping[str, MaskValues]) -> str:
    """Say which label is out of range, in the words of the loader."""
    loader = source.mask_loader
    if not isinstance(loader, LoadCheckedAnnotations):
        loader = LoadCheckedAnnotations(num_classes=len(source.classes))
    try:
        loader({'seg_fields': [], **info})
    except ValueError as error:
        return str(error)
    classes = (*range(len(source.classes)), IGNORE_INDEX)
    labels = sorted(masks[info['seg_map_path']].pixels)
    wrong = next(value for value in labels if source.class_of(value) not in classes)
    return (
        f'label {wrong} in {info["seg_map_path"]}, expected 0-{len(source.classes) - 1} or '
        f'{IGNORE_INDEX}; is it a mask of this domain, and do its classes list all?'
    )
