"""What headers and paths tell: files that their loading refuses, images in two places."""

import os
from collections.abc import Callable, Iterable, Mapping

from mmcv.transforms import LoadImageFromFile

from ..reading import Header, check_image_header
from ..transforms import LoadCheckedAnnotations, LoadCheckedImage, size_problem, unchecked_loaders
from .file_cache import Problem
from .file_facts import MaskValues
from .findings import Finding, Findings
from .sources import FileSource


def check_images(
    sources: Iterable[FileSource],
    headers: Mapping[str, Header | Problem],
    masks: Mapping[str, MaskValues | Problem],
) -> Findings:
    """Say which images and masks their loading would refuse, as far as headers and sizes tell.

    Images that a loader without checks would misread are notes.

    Args:
        sources: The sources.
        headers: The headers of their images.
        masks: What their masks hold.
    """
    found = Findings()
    for source in sources:
        refused, wrong_sizes = [], []
        for info in source.infos:
            header = headers.get(info['img_path'])
            if problem := _header_problem(source.image_loader, header):
                refused.append(problem)
            elif problem := _size_problem(source, info, header, masks):
                wrong_sizes.append(problem)
        checked = isinstance(source.image_loader, LoadCheckedImage)
        first = found.problems if checked else found.notes
        first += _summary(source, 'image', refused)
        found.problems += _summary(source, 'mask', wrong_sizes)
    return found


def _summary(source: FileSource, kind: str, problems: list[str]) -> list[Finding]:
    """Return the first problem with the number of all, if there is one."""
    total = len(source.infos)
    more = f' ({len(problems)} of its {total} {kind}s)' if len(problems) > 1 else ''
    return [Finding(source.name, kind, f'{problem}{more}') for problem in problems[:1]]


def _header_problem(loader: Callable | None, header: Header | Problem | None) -> str | None:
    """Say what a loader refuses or, without checks, takes for something else."""
    checked = isinstance(loader, LoadCheckedImage)
    # Loaders of other packages may read files that are no images here.
    if header is None or not (checked or type(loader) is LoadImageFromFile):
        return None
    if isinstance(header, Problem):
        return header
    try:
        if checked:
            loader.check_header(header)
        elif loader.color_type == 'color':
            check_image_header(header)
    except ValueError as error:
        return str(error)
    return None


def _size_problem(
    source: FileSource,
    info: dict,
    header: Header | Problem | None,
    masks: Mapping[str, MaskValues | Problem],
) -> str | None:
    loaders = source.image_loader, source.mask_loader
    mask = masks.get(info.get('seg_map_path'))
    if not all(map(isinstance, loaders, (LoadCheckedImage, LoadCheckedAnnotations))) or not (
        isinstance(header, Header) and isinstance(mask, MaskValues)
    ):
        return None
    size, expected = (mask.width, mask.height), source.image_loader.size_of(header)
    if expected in (None, size):
        return None
    return size_problem(info, size, expected, header.orientation)


def check_loading(sources: Iterable[FileSource]) -> Findings:
    """Say which sources read files without the checks of this package."""
    sentences = {
        (source.name, sentence): None
        for source in sources
        for sentence in unchecked_loaders([source.image_loader, source.mask_loader])
    }
    return Findings(notes=[Finding(name, 'loading', sentence) for name, sentence in sentences])


def check_overlap(training: Iterable[FileSource], validation: Iterable[FileSource]) -> Findings:
    """Say which files are images of training and of validation, whatever their paths."""
    evaluated = {_identity(info['img_path']) for source in validation for info in source.infos}
    evaluated -= {None}
    found = Findings()
    for source in training if evaluated else ():
        paths = [info['img_path'] for info in source.infos]
        both = [path for path in paths if _identity(path) in evaluated]
        if both:
            message = (
                f'{len(both)} of its {len(paths)} images are in val_dataloader, too, expected none '
                'in training and validation, because a score on images of training says little of '
                f'others; the first is {both[0]}'
            )
            found.notes.append(Finding(source.name, 'in validation, too', message, both[0]))
    return found


def _identity(path: str) -> tuple[int, int] | None:
    """Return what two paths of one file share; None if there is no such file."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
