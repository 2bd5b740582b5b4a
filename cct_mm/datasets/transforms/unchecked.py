"""Which loading transforms of a pipeline check nothing."""

from collections.abc import Iterable
from typing import Any

from mmcv.transforms import LoadImageFromFile
from mmseg.datasets.transforms import LoadAnnotations, LoadImageFromNDArray
from mmseg.registry import TRANSFORMS


def unchecked_loaders(pipeline: Iterable[Any]) -> list[str]:
    """Name the transforms of a pipeline that load files without the checks of this package.

    Args:
        pipeline: Transforms, or their configs.

    Returns:
        For each of them a sentence: what it does, and what to use instead.
    """
    sentences = []
    for transform in pipeline:
        kind = type(transform)
        if isinstance(transform, dict):
            kind = transform.get('type')
            kind = TRANSFORMS.get(kind) if isinstance(kind, str) else kind
        # Nothing is known of transforms of other packages.
        if not isinstance(kind, type) or not kind.__module__.startswith(('mmcv.', 'mmseg.')):
            continue
        if issubclass(kind, LoadImageFromFile) and not issubclass(kind, LoadImageFromNDArray):
            sentences.append(
                f'{kind.__name__} turns images by their EXIF data but not their masks, cuts 16 '
                f'bits to 8, and accepts damaged JPEGs silently; use LoadCheckedImage'
            )
        if issubclass(kind, LoadAnnotations):
            sentences.append(
                f'{kind.__name__} takes any value of a mask for a label, NaN and 256 for class 0; '
                f'use LoadCheckedAnnotations'
            )
    return sentences
