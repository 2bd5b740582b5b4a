"""Filling: the pixels of an augmented image that a transform has made up.

``Pad``, ``RandomRotate``, ``RandomCutOut`` and the like put a constant where there is no image. A
label map marks these pixels by 255. An image without labels has no such mark, so that they would
count in every loss on it. This module therefore sends a map along with each image: like a mask it
is resized, cropped, flipped, rotated and filled, and where it is no longer :data:`IMAGE` at the
end, the image is filled. The map takes no random numbers, so the images stay as they are without.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform, CenterCrop, LoadAnnotations, Pad
from mmcv.transforms import Compose as NestedCompose
from mmcv.transforms import RandomFlip as PlainFlip
from mmcv.transforms import Resize as PlainResize
from mmengine.dataset import Compose
from mmengine.structures import PixelData
from mmseg.datasets.transforms import Albu, RandomCutOut, RandomFlip, Resize
from mmseg.structures import SegDataSample

from cct_mm import keyed

KEY = 'gt_filling_map'
"""Key of the map in a sample that is not packed yet; it is one of the ``seg_fields``."""

IMAGE = 128
"""The map's value where the image is its own. Transforms fill masks with 255, or with 0."""

_LABELS_ONLY = (Pad, CenterCrop, PlainResize, PlainFlip, Albu)
"""Transforms that change ``gt_seg_map`` and ignore ``seg_fields``."""

_STOCK = ('mmcv.', 'mmseg.', 'cct_mm.')

_NEVER_FILL = frozenset(
    f'{package}.transforms.{module}.{name}'
    for package, module, names in (
        ('mmcv', 'loading', 'LoadAnnotations LoadImageFromFile'),
        ('mmcv', 'processing', 'Normalize RandomChoiceResize RandomFlip RandomGrayscale'),
        ('mmcv', 'processing', 'RandomResize Resize'),
        ('mmcv', 'wrappers', 'Compose RandomApply RandomChoice'),
        ('mmseg.datasets', 'formatting', 'PackSegInputs'),
        ('mmseg.datasets', 'loading', 'LoadAnnotations LoadImageFromNDArray'),
        ('mmseg.datasets', 'transforms', 'AdjustGamma CLAHE GenerateEdge PhotoMetricDistortion'),
        ('mmseg.datasets', 'transforms', 'RGB2Gray RandomCrop RandomFlip Rerange Resize'),
        ('mmseg.datasets', 'transforms', 'ResizeShortestEdge ResizeToMultiple SegRescale'),
    )
    for name in names.split()
)


class FillingError(ValueError):
    """A transform that cannot be followed, or that asks for labels where there are none."""


class FollowedPipeline(Compose):
    """A data set's pipeline that sends the map of the filling along.

    If any pixel is filled, the packed sample gets ``filled`` (``PixelData``, [1, H, W], bool).
    """

    def __call__(self, data: dict) -> dict | None:
        """Run all transforms on a sample."""
        for transform in self.transforms:
            data = follow(transform, data)
            if data is None:
                return None
        return data


class Followed:
    """A transform of a wrapper, with its attributes, that sends the map of the filling along."""

    def __init__(self, transform: Callable) -> None:
        self.transform = transform

    def __call__(self, data: dict) -> dict | None:
        """Run the transform on a sample."""
        return follow(self.transform, data)

    def __getattr__(self, name: str) -> Any:
        if name == 'transform':
            # It does not exist yet while this object is unpickled.
            raise AttributeError(name)
        found = getattr(self.transform, name)
        if name != 'get_indices':
            return found
        # RandomMosaic of mmseg sometimes asks for one image past the last.
        return lambda dataset: [i % len(dataset) for i in np.atleast_1d(found(dataset)).tolist()]


def follow(transform: Callable, data: dict) -> dict | None:
    """Run a transform on a sample, and do to the map what it does to the image's geometry.

    Raises:
        FillingError: If the transform asks for labels that the sample lacks, or changes the size of
            the image but not that of the map.
    """
    if isinstance(transform, (Compose, NestedCompose)):
        return FollowedPipeline.__call__(transform, data)
    try:
        if KEY not in data:
            return _begin(_call(transform, data))
        after = _run(transform, data)
    except KeyError as error:
        if error.args != ('gt_seg_map',) or 'gt_seg_map' in data:
            raise
        raise FillingError(
            f'{name_of(transform)} asks for the label map of {data.get("img_path")}, which comes '
            'without one; remove it from the pipeline of an unlabeled source (RandomCrop: remove '
            'its cat_max_ratio)'
        ) from error
    if after is None:
        return None
    if 'data_samples' in after:
        filled = data[KEY] != IMAGE
        if filled.any() and isinstance(after['data_samples'], SegDataSample):
            filled = PixelData(data=torch.from_numpy(filled)[None])
            after['data_samples'].set_data({'filled': filled})
        return after
    # A transform that makes a new dictionary may have left it out.
    after.setdefault(KEY, data[KEY])
    _check_size(transform, after)
    return after


def _begin(data: dict | None) -> dict | None:
    if data is not None and isinstance(data.get('img'), np.ndarray):
        data[KEY] = np.full(data['img'].shape[:2], IMAGE, np.uint8)
        data['seg_fields'] = [*data.get('seg_fields', ()), KEY]
    return data


def _check_size(transform: Callable, data: dict) -> None:
    image, filling = data.get('img'), data[KEY]
    if isinstance(image, np.ndarray) and filling.shape[:2] != image.shape[:2]:
        raise FillingError(
            f'{name_of(transform)} has made {data.get("img_path")} '
            f'{image.shape[1]}x{image.shape[0]} pixels large, but the map of its filling has '
            f'{filling.shape[1]}x{filling.shape[0]}; expected a transform that changes every array '
            "which results['seg_fields'] names as it changes a mask"
        )


def _run(transform: Callable, data: dict) -> dict | None:
    if any(_has_labels_only(t) for t in nested(transform)):
        if 'gt_seg_map' not in data:
            return _run_as_labels(transform, data)
        return _run_twice(transform, data)
    if type(transform).__module__.startswith(_STOCK):
        return _call(transform, data)
    return _run_unknown(transform, data)


def _call(transform: Callable, data: dict) -> dict | None:
    for part in nested(transform):
        # Albumentations has a generator of its own, and seeds it with what no key knows.
        if isinstance(part, Albu) and hasattr(part.aug, 'set_random_seed'):
            part.aug.set_random_seed(int(np.random.randint(2**31)))  # noqa: NPY002
    return transform(data)


def _has_labels_only(transform: Callable) -> bool:
    """Tell whether the only map that a transform changes or fills is ``gt_seg_map``."""
    if isinstance(transform, RandomCutOut):
        return transform.seg_fill_in is None
    return isinstance(transform, _LABELS_ONLY) and not isinstance(transform, (Resize, RandomFlip))


def _as_labels(data: dict) -> dict:
    """Return the sample with the map in place of its labels."""
    fields = [field for field in data['seg_fields'] if field not in (KEY, 'gt_seg_map')]
    rest = {key: value for key, value in data.items() if key != KEY}
    return {**rest, 'gt_seg_map': data[KEY], 'seg_fields': [*fields, 'gt_seg_map']}


def _run_as_labels(transform: Callable, data: dict) -> dict | None:
    with _cutouts_filled(transform):
        after = _call(transform, _as_labels(data))
    if after is None:
        return None
    after[KEY] = after.pop('gt_seg_map')
    after['seg_fields'] = data['seg_fields']
    return after


def _run_twice(transform: Callable, data: dict) -> dict | None:
    """Run a transform on the sample, then with the same random numbers on the map as its labels."""
    twin = _as_labels({**data, 'img': data['img'].copy(), KEY: data[KEY].copy()})
    with keyed.global_generators_twice() as redraw:
        after = _call(transform, data)
        redraw()
        with _cutouts_filled(transform):
            twin = _call(transform, twin)
    if after is None or twin is None:
        return after
    if np.array_equal(twin['img'], after['img']):
        after[KEY] = twin['gt_seg_map']
    elif after['img'].shape[:2] != data[KEY].shape:
        # The transform has a generator of its own and differed: nothing is known of its filling.
        after[KEY] = np.full(after['img'].shape[:2], IMAGE, np.uint8)
    return after


class _Watched(dict):
    """A sample that notes which keys a transform asks for."""

    def __init__(self, data: dict) -> None:
        super().__init__(data)
        self.asked: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.asked.add(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self.asked.add(key)
        return super().__contains__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.asked.add(key)
        return super().get(key, default)


def _run_unknown(transform: Callable, data: dict) -> dict | None:
    """Run a transform of another package, which may change all maps, labels only, or none."""
    watched = _Watched(data)
    twin = _as_labels({**data, 'img': data['img'].copy()})
    with keyed.global_generators_twice() as redraw:
        after = _call(transform, watched)
        if after is None or 'gt_seg_map' not in watched.asked or KEY in watched.asked:
            return after if after is not watched else dict(watched)
        after = dict(after)
        if 'data_samples' in after or ('gt_seg_map' in after and 'gt_seg_map' not in data):
            return after
        redraw()
        twin['gt_seg_map'] = data[KEY].copy()
        try:
            twin = _call(transform, twin)
        # The map holds values that a label map never holds.
        except Exception:
            return after
    if twin is not None and 'gt_seg_map' in twin and np.array_equal(twin['img'], after['img']):
        after[KEY] = twin['gt_seg_map']
    return after


@contextmanager
def _cutouts_filled(transform: Callable) -> Iterator[None]:
    """Let RandomCutOut mark what it cuts out, where its settings leave masks as they are."""
    cutouts = [t for t in nested(transform) if isinstance(t, RandomCutOut)]
    cutouts = [t for t in cutouts if t.seg_fill_in is None]
    for cutout in cutouts:
        cutout.seg_fill_in = 255
    try:
        yield
    finally:
        for cutout in cutouts:
            cutout.seg_fill_in = None


def nested(transform: Callable) -> Iterator[Callable]:
    """Yield a transform and all that it is made of, such as the choices of RandomChoice."""
    if isinstance(transform, Followed):
        transform = transform.transform
    yield transform
    for value in getattr(transform, '__dict__', {}).values():
        for part in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(part, (BaseTransform, Compose)):
                yield from nested(part)


def is_loader(transform: Callable) -> bool:
    """Tell whether a transform reads label files."""
    return isinstance(transform, LoadAnnotations)


def may_fill(transform: Callable) -> bool:
    """Tell whether a transform may fill: all may but those that are known not to.

    The transforms inside it are asked on their own, see :func:`nested`.
    """
    kind = type(transform)
    known = kind.__module__.startswith('cct_mm.') or isinstance(transform, Compose)
    return not known and f'{kind.__module__}.{kind.__qualname__}' not in _NEVER_FILL


def name_of(transform: Callable) -> str:
    """Return what errors call a transform."""
    return type(transform).__name__
