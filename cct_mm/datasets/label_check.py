"""Whether labels mean something: which classes occur, and what to do where they don't."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from cct_mm.labels import IGNORE_INDEX

from .file_sources import FileSource
from .label_counts import MaskValues
from .transforms import LoadCheckedAnnotations, LoadImageLabels

MOST_NAMED = 8
"""Values or classes that a message lists."""


@dataclass
class LabelCounts:
    """Labels of several sources of one domain.

    Args:
        classes: The domain's.
        pixels: Number of pixels of each class, [C].
        images: Number of images that show it, [C].
        ignored: Number of pixels without a label (255).
        masks: Number of masks.
        values: Number of pixels of each value of the files, before any label map.
        empty: Masks without a labeled pixel.
        unreadable: Masks that cannot be read, and why.
        wrong: For the first mask of each source with a label out of range, what its loader says;
            with the number of such masks.
        reduce_zero_label: Whether a source reads 0 as no label.
        sample: A sample of the sources, for what it tells.
    """

    classes: tuple[str, ...]
    pixels: np.ndarray
    images: np.ndarray
    ignored: int = 0
    masks: int = 0
    values: Counter = field(default_factory=Counter)
    empty: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    wrong: list[tuple[str, int]] = field(default_factory=list)
    reduce_zero_label: bool = False
    sample: dict = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Number of pixels, those without a label included."""
        return int(self.pixels.sum()) + self.ignored

    @property
    def absent(self) -> list[str]:
        """Names of the classes without a labeled pixel."""
        return [name for name, n in zip(self.classes, self.pixels, strict=True) if n == 0]

    @property
    def present(self) -> list[str]:
        """Names of the others."""
        return [name for name, n in zip(self.classes, self.pixels, strict=True) if n]


def count_labels(
    sources: Iterable[FileSource], masks: Mapping[str, MaskValues | str]
) -> LabelCounts:
    """Count the labels of sources.

    Args:
        sources: Of one domain, all of which read masks.
        masks: What is in their mask files, or why they can't be read; others are left out.
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
    """Add the pixels of a mask, and return whether each of its values stands for something."""
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
    """Say which label is out of range, in the words of the loading."""
    loader = source.mask_loader
    if not isinstance(loader, LoadCheckedAnnotations):
        loader = LoadCheckedAnnotations(num_classes=len(source.classes))
    try:
        loader({'seg_fields': [], **info})
    except ValueError as error:
        return str(error)
    labels = sorted(masks[info['seg_map_path']].pixels)
    wrong = [v for v in labels if source.class_of(v) not in (*range(len(source.classes)), 255)]
    return (
        f'label {wrong[0]} in {info["seg_map_path"]}, expected 0-{len(source.classes) - 1} or '
        f'{IGNORE_INDEX}; is it a mask of this domain, and do its classes list all?'
    )


def errors(counts: LabelCounts, where: str, supervision: str | None) -> list[str]:
    """Say what makes labels useless.

    Args:
        counts: Of a domain's sources of one kind.
        where: What messages call them.
        supervision: Which kind a network learns from; None for validation.
    """
    found = []
    for problem in list(counts.unreadable.values())[:1]:
        found.append(
            f'{where}: {problem}' + _share(len(counts.unreadable), counts.masks, 'cannot be read')
        )
    for message, number in counts.wrong:
        found.append(f'{where}: {message}' + _share(number, counts.masks, 'hold such labels'))
    # Pseudo-labels only add to what a labeled source teaches.
    if supervision == 'labeled' and not found and len(counts.present) < 2:
        found.append(
            f'{where}: {_only(counts)} occurs in the labels of '
            f'{_masks(counts)}, expected two at least, for from one there is nothing to learn: '
            f'{_names(counts.absent)} without a labeled pixel, and {IGNORE_INDEX} (no label) makes '
            f'{_percent(counts.ignored, counts.total)}. The files hold the values '
            f'{_values(counts)}; {_fix(counts)}'
        )
    return found


def no_label_maps(source: FileSource) -> str | None:
    """Say why a labeled source has no labels: its pipeline loads none. Else None.

    Args:
        source: Any source. Transforms of other packages may load labels in their own way.
    """
    if (
        source.supervision != 'labeled'
        or source.mask_loader is not None
        or source.foreign_transforms
        or any(isinstance(t, LoadImageLabels) for t in source.transforms)
    ):
        return None
    return (
        "its pipeline loads no label maps, expected dict(type='LoadCheckedAnnotations') after the "
        'loading of images; images without masks are an unlabeled source'
    )


def single_class(classes: Sequence[str]) -> str:
    """Say why a domain needs a second class."""
    return (
        f'it has the single class {classes[0]!r}, expected two at least: softmax over one class is '
        '1 everywhere, so that the loss is 0 whatever the network does; add what is left as a '
        f"class, classes=('background', {classes[0]!r}), and write masks accordingly (heads that "
        'end in a sigmoid are not supported)'
    )


def warnings(counts: LabelCounts, where: str, supervision: str | None) -> list[str]:
    """Say what a user should know of labels.

    Args:
        counts: As for :func:`errors`.
        where: Likewise.
        supervision: Likewise.
    """
    found = []
    if counts.absent and len(counts.present) > 1:
        effect = (
            'nothing is learned of these'
            if supervision
            else 'mIoU takes them for 0 where one pixel is predicted so, else leaves them out'
        )
        found.append(
            f'{where}: without a labeled pixel in {_masks(counts)}: {_names(counts.absent)}; '
            f'{effect}. {_percent(counts.ignored, counts.total)} of the pixels have no label '
            f'({IGNORE_INDEX})'
        )
    if supervision != 'labeled' and len(counts.present) < 2:
        effect = (
            'there is nothing to learn from these pseudo-labels'
            if supervision
            else 'mIoU says nothing, for a network that always answers with it reaches 100'
        )
        found.append(
            f'{where}: {_only(counts)} occurs in the labels, so {effect}; absent: '
            f'{_names(counts.absent)}. The files hold the values {_values(counts)}; {_fix(counts)}'
        )
    if supervision and counts.empty:
        found.append(
            f'{where}: {len(counts.empty)} of {counts.masks} masks have no labeled pixel (all '
            f'{IGNORE_INDEX}), from which nothing is learned; the first is {counts.empty[0]}'
        )
    return found


def _only(counts: LabelCounts) -> str:
    only = f'only the class {counts.present[0]!r}' if counts.present else 'none'
    return f'of its {len(counts.classes)} classes {only}'


def _fix(counts: LabelCounts) -> str:
    """Say how to give values of the files the class that they stand for."""
    if counts.reduce_zero_label and counts.values.get(0):
        return (
            'reduce_zero_label=True reads 0 as no label, 1 as the first class and so on: where 0 '
            'is a class in the files, take it out of the dataset'
        )
    if counts.values.get(IGNORE_INDEX) and counts.absent:
        absent = counts.absent[0]
        number = counts.classes.index(absent)
        # Samples of mmseg's own datasets do not tell.
        known = counts.sample.get('num_classes')
        classes = '' if known else f'num_classes={len(counts.classes)}, '
        return (
            f'if {IGNORE_INDEX} stands for {absent!r}, load the masks of training, validation and '
            f"test with dict(type='LoadCheckedAnnotations', {classes}"
            f'label_map={{{IGNORE_INDEX}: {number}}})'
        )
    return (
        'if they stand for classes in another way, load masks with '
        "dict(type='LoadCheckedAnnotations', label_map={VALUE: CLASS, ...}); else look whether "
        f'these are the right masks: {counts.sample.get("seg_map_path")}'
    )


def _share(number: int, total: int, what: str) -> str:
    return f' ({number} of {total} masks {what})' if number > 1 else ''


def _masks(counts: LabelCounts) -> str:
    return f'{counts.masks} mask{"s" if counts.masks > 1 else ""}'


def _percent(part: int, total: int) -> str:
    share = part / total if total else 0.0
    return '<0.1%' if 0 < share < 0.0005 else f'{share:.1%}'


def _names(names: Sequence[str]) -> str:
    more = f' and {len(names) - MOST_NAMED} more' if len(names) > MOST_NAMED else ''
    return ', '.join(map(repr, names[:MOST_NAMED])) + more


def _values(counts: LabelCounts) -> str:
    total = sum(counts.values.values())
    common = counts.values.most_common(MOST_NAMED)
    text = ', '.join(f'{value} ({_percent(pixels, total)})' for value, pixels in sorted(common))
    return text + (', ...' if len(counts.values) > MOST_NAMED else '')
