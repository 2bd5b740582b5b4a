"""What a sample of a source holds: its files are loaded by the source's own transforms."""

import hashlib
from collections.abc import Callable, Sequence

import numpy as np

from ..reading import read_header, read_mask
from ..transforms import LoadCheckedAnnotations, size_problem
from .file_cache import Look, Problem
from .file_facts import MaskValues
from .sources import FileSource

CACHE = 'samples-1'
"""The number is raised when what :func:`examine` returns changes."""

Job = tuple[Callable | None, Callable | None, dict]
"""Loaders of image and mask, and what the dataset says of the sample."""


def examine_source(source: FileSource, workers: int) -> list[dict | Problem]:
    """Examine all samples of a source, those that are not known yet in several processes.

    Returns:
        For each sample what :func:`examine` says of it, or its problems, a line each.

    Raises:
        RuntimeError: If a process dies.
    """
    loaders = source.image_loader, source.mask_loader
    jobs: list[Job] = [(*loaders, info) for info in source.infos]
    settings = [(type(t).__qualname__, vars(t)) for t in loaders if t is not None]
    common = {k: v for k, v in source.infos[0].items() if k not in ('img_path', 'seg_map_path')}
    version = hashlib.sha256(repr((settings, common)).encode()).hexdigest()[:16]
    look = Look(f'{CACHE}/{version}', source.name, workers, say=lambda text: None, stderr=True)
    return look.at(jobs, examine, _files)


def _files(job: Job) -> Sequence[str]:
    _, mask_loader, info = job
    mask = info.get('seg_map_path') if mask_loader is not None else None
    return [info['img_path'], mask] if mask else [info['img_path']]


def examine(job: Job) -> dict:
    """Load a sample as training does, and describe it.

    Returns:
        ``size``: width and height of the image as it is loaded; ``type``: format, channels and
        depth of its file; ``orientation``: that of its EXIF data; ``constant``: whether all its
        pixels are the same; ``digest``: a hash of its pixels, the same for copies in other lossless
        formats; ``mask``: the packed counts of its mask, if it has one.

    Raises:
        ValueError: If image or mask cannot be loaded: for each a line with ``image`` or ``mask``, a
            tab, and what has happened.
    """
    image_loader, mask_loader, info = job
    results = {'seg_fields': [], **info}
    found, problems = {}, []
    if image_loader is not None:
        try:
            results = image_loader(results)
            found |= _describe(results['img'], info['img_path'])
        # Loaders of other packages raise all kinds of errors; the message tells what happened.
        except Exception as error:
            problems.append(f'image\t{_message(error, info["img_path"])}')
    if mask_loader is not None:
        try:
            found['mask'] = _count(mask_loader, results, info, found.get('size')).pack()
        except Exception as error:
            problems.append(f'mask\t{_message(error, info.get("seg_map_path"))}')
    if problems:
        raise ValueError('\n'.join(problems))
    return found


def _describe(pixels: np.ndarray, path: str) -> dict:
    height, width = pixels.shape[:2]
    kind, orientation = 'other', 1
    try:
        header = read_header(path)
        kind = f'{header.format} {header.channels}x{header.bits} bit'
        orientation = header.orientation
    except ValueError:
        # A loader of another package may read a file that is no image here.
        pass
    # As 8 bits, whatever the loader returns, so that the same image has one hash in two sources.
    pixels = np.ascontiguousarray(pixels, np.uint8)
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(pixels)
    return {
        'size': [width, height],
        'type': kind,
        'orientation': orientation,
        'constant': bool(pixels.min() == pixels.max()),
        'digest': digest.hexdigest()[:32],
    }


def _count(
    mask_loader: Callable, results: dict, info: dict, image_size: list[int] | None
) -> MaskValues:
    """Count the values of a mask that its loader accepts and that has the size of its image."""
    if type(mask_loader) is LoadCheckedAnnotations:
        # The mask is decoded once.
        labels = mask_loader.read(results)
        mask_loader.map_labels(results, labels)
    else:
        mask_loader(results)
        labels = read_mask(info['seg_map_path'])
    values = MaskValues.of(labels)
    if image_size not in (None, [values.width, values.height]):
        raise ValueError(size_problem(info, (values.width, values.height), tuple(image_size)))
    return values


def _message(error: Exception, path: str | None) -> str:
    """Say on one line what happened to a file."""
    text = ' '.join(str(error).split()) or 'no reason given'
    name = '' if isinstance(error, (ValueError, OSError)) else f'{type(error).__name__}: '
    return f'{name}{text}' if path and path in text else f'{path}: {name}{text}'
