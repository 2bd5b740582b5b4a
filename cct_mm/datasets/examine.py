"""What one sample of a source is like: read by the source's own loading, and looked at."""

import hashlib
from collections.abc import Callable, Sequence

import numpy as np

from .file_cache import Look, Problem
from .file_sources import FileSource
from .label_counts import MaskValues, count_values, pack
from .reading import read_header, read_mask
from .transforms import LoadCheckedAnnotations

CACHE = 'samples-1'
"""Its number is raised with what :func:`examine` returns."""

Job = tuple[Callable | None, Callable | None, dict]
"""Loaders of image and mask, and what the dataset says of the sample."""


def examine(job: Job) -> dict:
    """Load a sample as training does, and describe it.

    Args:
        job: The sample.

    Returns:
        ``size``: width and height of the image as it is loaded; ``type``: format, channels and
        depth of its file; ``orientation``: of its EXIF data; ``constant``: whether all its pixels
        are the same; ``digest``: a hash of its pixels, the same for copies in other formats without
        losses; ``mask``: the packed counts of its mask, if it reads one.

    Raises:
        ValueError: If image or mask cannot be loaded: for each a line, ``image`` or ``mask``, a tab
            and what has happened.
    """
    image_loader, mask_loader, info = job
    results = {'seg_fields': [], **info}
    found, problems = {}, []
    if image_loader is not None:
        try:
            results = image_loader(results)
            found |= _image(results['img'], info['img_path'])
        # Loaders of other packages raise what they like; what happened is the message.
        except Exception as error:
            problems.append(f'image\t{_message(error, info["img_path"])}')
    if mask_loader is not None:
        try:
            if type(mask_loader) is LoadCheckedAnnotations:
                labels = mask_loader.read(results)
                mask_loader.map_labels(results, labels)
            else:
                mask_loader(results)
                labels = read_mask(info['seg_map_path'])
            values = count_values(labels)
            _check_sizes(info, found.get('size'), values)
            found['mask'] = pack(values)
        except Exception as error:
            problems.append(f'mask\t{_message(error, info.get("seg_map_path"))}')
    if problems:
        raise ValueError('\n'.join(problems))
    return found


def examine_source(source: FileSource, workers: int) -> list[dict | Problem]:
    """Examine all samples of a source, those that are not known yet in several processes.

    Args:
        source: The source.
        workers: Number of processes.

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


def _image(pixels: np.ndarray, path: str) -> dict:
    height, width = pixels.shape[:2]
    try:
        header = read_header(path)
    # A loader of another package may read what is no image to this one.
    except ValueError:
        kind, orientation = 'other', 1
    else:
        kind, orientation = (
            f'{header.format} {header.channels}x{header.bits} bit',
            header.orientation,
        )
    # As 8 bits, whatever the loader makes of them: one hash for the same image in two sources.
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


def _check_sizes(info: dict, size: list[int] | None, mask: MaskValues) -> None:
    if size not in (None, [mask.width, mask.height]):
        raise ValueError(
            f'mask {info["seg_map_path"]} has {mask.width}x{mask.height} pixels, expected '
            f'{size[0]}x{size[1]} like {info["img_path"]}; resize the mask (nearest neighbor) or '
            'pair it with its own image'
        )


def _message(error: Exception, path: str | None) -> str:
    """What happened to a file, on one line."""
    text = ' '.join(str(error).split()) or 'no reason given'
    name = '' if isinstance(error, (ValueError, OSError)) else f'{type(error).__name__}: '
    return f'{name}{text}' if path and path in text else f'{path}: {name}{text}'
