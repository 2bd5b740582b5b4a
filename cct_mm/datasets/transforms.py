"""Loading of images and masks that says what is wrong with a file, and which file.

Drop-in replacements for ``LoadImageFromFile`` and ``LoadAnnotations`` in any pipeline. What a file
may be is said in :mod:`cct_mm.datasets.reading`.
"""

from collections.abc import Iterable
from typing import Any

import cv2
import mmcv
import mmengine.fileio as fileio
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmseg.datasets.transforms import LoadAnnotations, LoadImageFromNDArray
from mmseg.registry import TRANSFORMS

from cct_mm.labels import IGNORE_INDEX

from .reading import (
    Header,
    check_image_arguments,
    check_image_header,
    check_mask_header,
    is_truncated,
    missing_file,
    read_header,
    read_image,
    read_mask,
    unreadable_file,
    whole_numbers,
)


@TRANSFORMS.register_module()
class LoadCheckedImage(LoadImageFromFile):
    """Load an image as three channels, and refuse by name what would be taken for something else.

    That is a damaged or truncated file, one that EXIF data turn unlike its mask, and one of more
    than 8 bits, see :func:`~cct_mm.datasets.reading.read_image`. Grey images, palettes and images
    with an alpha channel come out as BGR like all others.

    Required Keys: ``img_path``. Added Keys: ``img``, ``img_shape``, ``ori_shape``. An optional
    ``dataset_name`` is named in errors.

    Args:
        to_float32: Whether the image comes as float32 instead of uint8. Default: False.
        color_type: ``flag`` of :func:`mmcv.imfrombytes`. With another than ``'color'``, mmcv
            decodes the image after it was checked (``'unchanged'``: whatever it holds), and
            ``orientation``, ``max_value`` and ``strict`` do not apply. Default: ``'color'``.
        imdecode_backend: With another than ``'cv2'``, too, mmcv decodes the image. Default:
            ``'cv2'``, whose pixels :func:`~cct_mm.datasets.reading.read_image` gives.
        backend_args: Arguments of mmengine's file backend. Default: None, local files.
        orientation: ``'stored'`` takes images that EXIF data turn in the order of their files,
            ``'exif'`` turns them, as their masks are then; None refuses them. Default: None.
        max_value: The value that becomes 255 in images of more than 8 bits, > 0; None refuses
            them. Default: None.
        strict: Whether a damaged JPEG is refused, or else taken as the decoder leaves it, with a
            warning. Default: True.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file cannot be used, or an argument.
    """

    def __init__(
        self,
        to_float32: bool = False,
        color_type: str = 'color',
        imdecode_backend: str = 'cv2',
        backend_args: dict | None = None,
        orientation: str | None = None,
        max_value: float | None = None,
        strict: bool = True,
    ) -> None:
        super().__init__(
            to_float32=to_float32,
            color_type=color_type,
            imdecode_backend=imdecode_backend,
            backend_args=backend_args,
        )
        check_image_arguments(orientation, max_value)
        self.reading = dict(orientation=orientation, max_value=max_value, strict=strict)
        self.by_mmcv = (color_type, imdecode_backend) != ('color', 'cv2')
        if self.by_mmcv and (orientation, max_value, strict) != (None, None, True):
            raise ValueError(
                f'orientation, max_value and strict do not apply where mmcv decodes images '
                f'(color_type={color_type!r}, imdecode_backend={imdecode_backend!r}), expected '
                f'none of them; leave color_type and imdecode_backend out'
            )

    def transform(self, results: dict) -> dict:
        """Read ``results['img_path']``.

        Args:
            results: The sample, see the class.

        Returns:
            The same dictionary with the image and its shape.
        """
        path = results['img_path']
        content = _read_bytes(results, path, 'image', self.backend_args)
        try:
            if self.by_mmcv:
                image = self._decode_by_mmcv(content, path)
            else:
                image = read_image(content, name=path, **self.reading)
        except ValueError as error:
            raise ValueError(f'{_source(results)}{error}') from None
        if self.to_float32:
            image = image.astype(np.float32)
        results['img'] = image
        results['img_shape'] = image.shape[:2]
        results['ori_shape'] = image.shape[:2]
        return results

    def check_header(self, header: Header) -> None:
        """Refuse an image by its header, as :meth:`transform` does.

        Args:
            header: Of the image.

        Raises:
            ValueError: If it cannot be used.
        """
        reading = self._reading_of(header)
        if reading is not None:
            check_image_header(header, reading['orientation'], reading['max_value'])

    def size_of(self, header: Header) -> tuple[int, int] | None:
        """Return width and height of an image as it is loaded; None where its header cannot tell.

        Args:
            header: Of the image.
        """
        if header.orientation < 5 or self.reading['orientation'] == 'stored':
            return header.width, header.height
        return None if self.by_mmcv else (header.height, header.width)

    def _reading_of(self, header: Header) -> dict[str, Any] | None:
        """How :func:`read_image` reads an image; None for one that mmcv takes as it is."""
        if self.by_mmcv:
            as_it_is = self.color_type == 'unchanged' or self.imdecode_backend == 'tifffile'
            if as_it_is and header.format not in ('JPEG', 'MPO'):
                return None
            # The backends turn images on their own terms; those that need it are refused.
            ignored = self.color_type.endswith('_ignore_orientation')
            return {**self.reading, 'orientation': 'stored' if ignored else None}
        return self.reading

    def _decode_by_mmcv(self, content: bytes, path: str) -> np.ndarray:
        reading = self._reading_of(read_header(content, name=path))
        if reading is not None:
            read_image(content, name=path, **reading)
        return _imfrombytes(content, 'image', path, self.color_type, self.imdecode_backend)


@TRANSFORMS.register_module()
class LoadCheckedAnnotations(LoadAnnotations):
    """Load a mask, apply the dataset's label map, and check every label and the size.

    A label out of range costs nothing to write and much to find: on a GPU it is a device assert
    without a name, or a class that trains on something else. ``reduce_zero_label`` and
    ``label_map`` of the dataset are applied as mmseg does, through one table of 256 entries.

    Required Keys: ``seg_map_path`` and, unless ``num_classes`` is given here, ``num_classes``.
    Optional: ``label_map``, ``reduce_zero_label``, ``ori_shape``, ``dataset_name``, ``label_hint``.
    Added Keys: ``gt_seg_map`` (uint8, H x W), an entry of ``seg_fields``, and ``has_left_out``,
    whether the mask shows a class that ``label_map`` leaves out.

    Args:
        num_classes: Number of classes, for datasets whose samples do not tell it (those of mmseg
            itself). The sample's own number comes first. Default: None.
        imdecode_backend: With another than ``'pillow'``, mmcv decodes the mask. Default:
            ``'pillow'``, for :func:`~cct_mm.datasets.reading.read_mask`.
        backend_args: Arguments of mmengine's file backend. Default: None, local files.
        label_map: Class of each value of the files that is not the class itself, where masks were
            written in another way: ``{255: 1}`` for two classes as 0 and 255. It comes before the
            dataset's own ``reduce_zero_label`` and ``label_map``. Default: None.

    Raises:
        FileNotFoundError: There is no such mask.
        ValueError: ``label_map`` holds something else than labels; the sample has no mask, the file
            cannot be decoded, is a colour image, a JPEG or of floats that are no whole numbers,
            differs from its image in size, or holds a label that is neither a class nor 255.
    """

    def __init__(
        self,
        num_classes: int | None = None,
        imdecode_backend: str = 'pillow',
        backend_args: dict | None = None,
        label_map: dict[int, int] | None = None,
    ) -> None:
        super().__init__(imdecode_backend=imdecode_backend, backend_args=backend_args)
        self.num_classes = num_classes
        self.label_map = dict(label_map or {})
        for value, label in self.label_map.items():
            if not isinstance(value, int) or not (isinstance(label, int) and 0 <= label <= 255):
                raise ValueError(
                    f'LoadCheckedAnnotations: label_map has {value!r}: {label!r}, expected an '
                    'integer of the files and a class (or 255 for none), as in {255: 1}'
                )

    def _load_seg_map(self, results: dict) -> None:
        results['gt_seg_map'] = self.map_labels(results, self.read(results))
        results.setdefault('seg_fields', []).append('gt_seg_map')

    def read(self, results: dict) -> np.ndarray:
        """Read the values of a mask, before any label map.

        Args:
            results: The sample, with the size of its image if that is loaded.

        Returns:
            np.ndarray: [H, W], of an integer type.

        Raises:
            FileNotFoundError: There is no such mask.
            ValueError: It cannot be used, or has not the size of its image.
        """
        path = results.get('seg_map_path')
        if path is None:
            raise ValueError(
                f'{_source(results)}{results.get("img_path")} comes without a mask, but its '
                f'pipeline loads one; take LoadCheckedAnnotations out of the pipeline of an '
                f'unlabeled source, or list the mask'
            )
        labels = self._decode(results, path)
        if 'ori_shape' in results and labels.shape != tuple(results['ori_shape'][:2]):
            height, width = results['ori_shape'][:2]
            orientation = _orientation(results, self.backend_args)
            problem = size_problem(results, labels.shape[::-1], (width, height), orientation)
            raise ValueError(f'{_source(results)}{problem}')
        return labels

    def _decode(self, results: dict, path: str) -> np.ndarray:
        content = _read_bytes(results, path, 'mask', self.backend_args)
        hint = results.get('label_hint') or ''
        try:
            if self.imdecode_backend == 'pillow':
                return read_mask(content, name=path, hint=hint)
            check_mask_header(read_header(content, name=path, kind='mask'), hint)
            labels = _imfrombytes(content, 'mask', path, 'unchanged', self.imdecode_backend)
            labels = labels.squeeze(-1) if labels.shape[2:] == (1,) else labels
            return whole_numbers(labels, path, hint)
        except ValueError as error:
            raise ValueError(f'{_source(results)}{error}') from None

    def map_labels(self, results: dict, labels: np.ndarray) -> np.ndarray:
        """Return the classes that the values of a mask stand for.

        Args:
            results: The sample; ``has_left_out`` is added.
            labels: What :meth:`read` gives.

        Returns:
            np.ndarray: [H, W], uint8.

        Raises:
            ValueError: A value is neither a class nor 255.
        """
        num_classes = results.get('num_classes') or self.num_classes
        if num_classes is None:
            raise ValueError(
                f'{_source(results)}the number of classes is unknown, expected metainfo with '
                f'classes, or LoadCheckedAnnotations(num_classes=...) in the pipeline'
            )
        table = label_table(results.get('label_map'), results.get('reduce_zero_label', False))
        valid = (table < num_classes) | (table == IGNORE_INDEX)
        if labels.dtype != np.uint8:
            # A type that has room for every value and for 255.
            labels = labels.astype(np.int64)
        values = labels
        for value, label in self.label_map.items():
            labels = np.where(values == value, label, labels)

        found = _values(labels)
        wrong = found[~np.isin(found, np.flatnonzero(valid))]
        if len(wrong):
            raise ValueError(
                f'{_source(results)}label {int(wrong[0])} in {results["seg_map_path"]}, expected '
                f'{_expected(table, valid)}{_hint(results)}'
            )
        # The map applies after the shift by reduce_zero_label.
        shift = int(results.get('reduce_zero_label', False))
        pairs = (results.get('label_map') or {}).items()
        void = results.get('void_labels', ())
        left_out = [
            old + shift for old, new in pairs if new in (-1, IGNORE_INDEX) and old not in void
        ]
        results['has_left_out'] = bool(np.isin(found, left_out).any())
        return cv2.LUT(labels.astype(np.uint8), table.astype(np.uint8))


def label_table(label_map: dict[int, int] | None, reduce_zero_label: bool) -> np.ndarray:
    """Return which class each value of a label file stands for, 255 for none.

    Args:
        label_map: The dataset's, applied after ``reduce_zero_label``, or None.
        reduce_zero_label: Whether 0 is void and all other values are one too large.

    Returns:
        np.ndarray: [256], int64; a value that is no class keeps its number.
    """
    table = np.arange(IGNORE_INDEX + 1)
    if reduce_zero_label:
        table -= 1
        table[[0, IGNORE_INDEX]] = IGNORE_INDEX
    reduced = table.copy()
    for old, new in (label_map or {}).items():
        table[reduced == old] = new
    return table


def _values(labels: np.ndarray) -> np.ndarray:
    """The values of a mask, sorted."""
    if labels.dtype != np.uint8:
        return np.unique(labels)
    # Twenty times as fast.
    return np.flatnonzero(cv2.calcHist([labels], [0], None, [256], [0, 256]))


def _expected(table: np.ndarray, valid: np.ndarray) -> str:
    """The labels that a file may hold, as a reader would say it."""
    classes = np.flatnonzero(valid & (table != IGNORE_INDEX))
    ignored = np.flatnonzero(table[:IGNORE_INDEX] == IGNORE_INDEX)
    text = f'{_ranges(classes)} or {IGNORE_INDEX}'
    if len(ignored):
        text += f' ({_ranges(ignored)} read as {IGNORE_INDEX})'
    return text


def _ranges(labels: np.ndarray) -> str:
    """Sorted labels in short: 0, 1, 2, 5 is ``0-2, 5``."""
    runs = np.split(labels, np.flatnonzero(np.diff(labels) > 1) + 1)
    return ', '.join(f'{run[0]}-{run[-1]}' if len(run) > 1 else f'{run[0]}' for run in runs)


def _source(results: dict) -> str:
    """Start of a message: the dataset, where the sample names one; mmseg's own do not."""
    return f'{results["dataset_name"]}: ' if results.get('dataset_name') else ''


def _hint(results: dict) -> str:
    hint = results.get('label_hint') or (
        'look whether it is a mask of these classes; values that stand for a class in another way '
        'are mapped by LoadCheckedAnnotations(label_map={VALUE: CLASS}), classes that count from 1 '
        'by reduce_zero_label=True in the dataset'
    )
    return f'; {hint}'


def size_problem(
    info: dict, found: tuple[int, int], expected: tuple[int, int], orientation: int = 1
) -> str:
    """Say that a mask has not the size of its image.

    Args:
        info: Of the sample, with ``img_path`` and ``seg_map_path``.
        found: Width and height of the mask.
        expected: Width and height of the image as it is loaded.
        orientation: Of the image's EXIF data, which may explain it.
    """
    text = (
        f'mask {info["seg_map_path"]} has {found[0]}x{found[1]} pixels, expected '
        f'{expected[0]}x{expected[1]} like {info.get("img_path")}; resize the mask (nearest '
        'neighbor) or pair it with its own image'
    )
    if orientation == 1:
        return text
    return (
        f'{text}. The image has EXIF orientation {orientation}: LoadCheckedImage(orientation=...) '
        "has to be 'stored' for masks in the order of the stored pixels, 'exif' for masks of the "
        'turned image'
    )


def _orientation(results: dict, backend_args: dict | None) -> int:
    try:
        path = results['img_path']
        return read_header(fileio.get(path, backend_args=backend_args), name=path).orientation
    except (KeyError, OSError, ValueError):
        return 1


def _imfrombytes(content: bytes, kind: str, path: str, flag: str, backend: str) -> np.ndarray:
    """Decode by mmcv, whose backends raise what they like; cv2 answers None instead."""
    state = 'is truncated' if is_truncated(content) else 'cannot be decoded'
    try:
        pixels = mmcv.imfrombytes(content, flag=flag, backend=backend)
    except MemoryError:
        raise
    except Exception as error:
        pixels, said = None, f'{type(error).__name__}: {error}'
    else:
        said = f'the backend {backend} takes it for no image'
    if pixels is None or state == 'is truncated':
        raise ValueError(
            f'{kind} {path} {state} ({len(content)} bytes): {said}; copy or convert it again'
        )
    return pixels


def _read_bytes(results: dict, path: str, kind: str, backend_args: dict | None) -> bytes:
    try:
        # Some backends give a memoryview.
        return bytes(fileio.get(path, backend_args=backend_args))
    except FileNotFoundError:
        raise FileNotFoundError(f'{_source(results)}{missing_file(kind, path)}') from None
    except OSError as error:
        raise ValueError(f'{_source(results)}{unreadable_file(kind, path, error)}') from None


def unchecked_loaders(pipeline: Iterable[Any]) -> list[str]:
    """Name the transforms of a pipeline that read files past this module, as sentences.

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
        # What those of other packages do is theirs to say.
        if not isinstance(kind, type) or not kind.__module__.startswith(('mmcv.', 'mmseg.')):
            continue
        if issubclass(kind, LoadImageFromFile) and not issubclass(kind, LoadImageFromNDArray):
            sentences.append(
                f'{kind.__name__} turns images by their EXIF data but not their masks, cuts 16 '
                f'bits to 8, and takes damaged JPEGs without a word; use LoadCheckedImage'
            )
        if issubclass(kind, LoadAnnotations):
            sentences.append(
                f'{kind.__name__} takes any value of a mask for a label, NaN and 256 for class 0; '
                f'use LoadCheckedAnnotations'
            )
    return sentences
