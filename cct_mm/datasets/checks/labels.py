"""Whether the labels mean something: which classes occur, and what to do if they do not."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from cct_mm.labels import IGNORE_INDEX

from ..transforms import LoadImageLabels
from .file_facts import MaskValues
from .findings import Finding, Findings
from .label_counts import LabelCounts, count_labels
from .sources import FileSource

MOST_NAMED = 8
"""Number of values or classes that a message lists."""


def check_labels(sources: Iterable[FileSource], masks: Mapping[str, MaskValues | str]) -> Findings:
    """Say where labels mean nothing.

    Args:
        sources: Sources of any domain and split; those that read no masks are left out.
        masks: What each mask file holds, or why it cannot be read. A source in another storage, of
            which it holds no mask, becomes a note.
    """
    found = Findings()
    groups: dict[str, list[FileSource]] = defaultdict(list)
    for source in sources:
        if source.mask_loader is None:
            continue
        if not source.is_local and not any(i.get('seg_map_path') in masks for i in source.infos):
            message = 'labels of another storage are not counted'
            found.notes.append(Finding(source.name, 'labels', message))
        elif source.foreign_transforms:
            message = (
                'labels are not judged, because its pipeline has '
                f'{", ".join(source.foreign_transforms)}, which may change them'
            )
            found.notes.append(Finding(source.name, 'labels', message))
        else:
            groups[source.name].append(source)
    for name, group in groups.items():
        counts = count_labels(group, masks)
        supervision = group[0].supervision if group[0].split == 'train' else None
        # A single class is refused as such, see check_class_lists.
        if supervision is None or len(counts.classes) > 1:
            problems, notes = errors(counts, supervision), warnings(counts, supervision)
            found.problems += [Finding(name, 'labels', sentence) for sentence in problems]
            found.notes += [Finding(name, 'labels', sentence) for sentence in notes]
    return found


def check_class_lists(sources: Iterable[FileSource]) -> Findings:
    """Say which domains are to be trained with a single class."""
    single = {
        source.domain: source.classes[0]
        for source in sources
        if source.split == 'train' and source.mask_loader is not None and len(source.classes) == 1
    }
    return Findings(
        [
            Finding(
                f'train_dataloader: domain {domain}',
                'labels',
                f'it has the single class {name!r}, expected two at least: softmax over one class '
                'is 1 everywhere, so that the loss is 0 whatever the network does; add what is '
                f"left as a class, classes=('background', {name!r}), and write masks accordingly "
                '(heads that end in a sigmoid are not supported)',
            )
            for domain, name in single.items()
        ]
    )


def check_label_maps(sources: Iterable[FileSource]) -> Findings:
    """Say which labeled sources of training and validation have a pipeline that loads no labels."""
    # Transforms of other packages may load labels in their own way.
    without = {
        source.name: None
        for source in sources
        if source.split != 'test'
        and source.supervision == 'labeled'
        and source.mask_loader is None
        and not source.foreign_transforms
        and not any(isinstance(t, LoadImageLabels) for t in source.transforms)
    }
    message = (
        "its pipeline loads no label maps, expected dict(type='LoadCheckedAnnotations') after the "
        'loading of images; images without masks are an unlabeled source'
    )
    return Findings([Finding(name, 'labels', message) for name in without])


def errors(counts: LabelCounts, supervision: str | None) -> list[str]:
    """Say what makes labels useless.

    Args:
        counts: Those of a domain's sources with one kind of supervision.
        supervision: The kind that a network learns from; None for validation and test.
    """
    found = []
    for problem in list(counts.unreadable.values())[:1]:
        found.append(problem + _share(len(counts.unreadable), counts.masks, 'cannot be read'))
    for message, number in counts.wrong:
        found.append(message + _share(number, counts.masks, 'hold such labels'))
    # Pseudo-labels only add to what a labeled source teaches.
    if supervision == 'labeled' and not found and len(counts.present) < 2:
        found.append(
            f'{_only(counts)} occurs in the labels of {_masks(counts)}, expected two at least, '
            f'because nothing can be learned from one: {_names(counts.absent)} without a labeled '
            f'pixel, and {IGNORE_INDEX} (no label) makes {_percent(counts.ignored, counts.total)}. '
            f'The files hold the values {_values(counts)}; {_fix(counts)}'
        )
    return found


def warnings(counts: LabelCounts, supervision: str | None) -> list[str]:
    """Say what a user should know of labels, with the arguments of :func:`errors`."""
    found = []
    if counts.absent and len(counts.present) > 1:
        effect = (
            'nothing is learned of these'
            if supervision
            else 'mIoU counts them as 0 if a single pixel is predicted so, and else leaves them out'
        )
        found.append(
            f'without a labeled pixel in {_masks(counts)}: {_names(counts.absent)}; {effect}. '
            f'{_percent(counts.ignored, counts.total)} of the pixels have no label ({IGNORE_INDEX})'
        )
    if supervision != 'labeled' and len(counts.present) < 2:
        effect = (
            'there is nothing to learn from these pseudo-labels'
            if supervision
            else 'mIoU says nothing, because a network that always predicts it reaches 100'
        )
        found.append(
            f'{_only(counts)} occurs in the labels, so {effect}; absent: '
            f'{_names(counts.absent)}. The files hold the values {_values(counts)}; {_fix(counts)}'
        )
    if supervision and counts.empty:
        found.append(
            f'{len(counts.empty)} of {counts.masks} masks have no labeled pixel (all '
            f'{IGNORE_INDEX}), from which nothing is learned; the first is {counts.empty[0]}'
        )
    return found


def _only(counts: LabelCounts) -> str:
    only = f'only the class {counts.present[0]!r}' if counts.present else 'none'
    return f'of its {len(counts.classes)} classes {only}'


def _fix(counts: LabelCounts) -> str:
    """Say how to map the values of the files to the classes that they mean."""
    if counts.reduce_zero_label and counts.values.get(0):
        return (
            'reduce_zero_label=True reads 0 as no label, 1 as the first class and so on: if 0 is a '
            'class in the files, remove it from the dataset'
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
