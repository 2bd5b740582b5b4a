"""Loading of label maps that checks every label."""

import cv2
import mmengine.fileio as fileio
import numpy as np
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import TRANSFORMS

from cct_mm.labels import IGNORE_INDEX

from ..reading import check_mask_header, read_header, read_mask, whole_numbers
from .files import dataset_named, decode_by_mmcv, read_bytes
from .label_values import describe_valid, label_table, shows_left_out_class, values_of


@TRANSFORMS.register_module()
class LoadCheckedAnnotations(LoadAnnotations):
    """Load a mask, apply the dataset's label map, and check every label and the size.

    A label out of range costs nothing to write and much to find: on a GPU it is a device assert
    without a name, or a class that trains on something else. ``reduce_zero_label`` and
    ``label_map`` of the dataset are applied as mmseg does, through one table of 256 entries.

    Required keys: ``seg_map_path`` and, unless ``num_classes`` is given here, ``num_classes``.
    Optional: ``label_map``, ``reduce_zero_label``, ``ori_shape``, ``dataset_name``, ``label_hint``.
    Added keys: ``gt_seg_map`` (uint8, [H, W]), an entry of ``seg_fields``, and ``has_left_out``,
    whether the mask shows a class that ``label_map`` leaves out.

    Args:
        num_classes: Number of classes, for datasets whose samples do not tell it, such as mmseg's
            own. The sample's own number has precedence. Default: None.
        imdecode_backend: With another than ``'pillow'``, mmcv decodes the mask. Default:
            ``'pillow'``, which means :func:`~cct_mm.datasets.reading.read_mask`.
        backend_args: Arguments of mmengine's file backend. Default: None, local files.
        label_map: Class of each value of the files that is not the class itself, where masks were
            written in another way: ``{255: 1}`` for two classes as 0 and 255. It is applied before
            the dataset's own ``reduce_zero_label`` and ``label_map``. Default: None.

    Raises:
        FileNotFoundError: If there is no such mask.
        ValueError: If ``label_map`` holds something else than labels, the sample has no mask, the
            file cannot be decoded, is a color image, a JPEG or holds numbers that are not whole,
            the mask differs from its image in size, or a label is neither a class nor 255.
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
            FileNotFoundError: If there is no such mask.
            ValueError: If it cannot be used, or its size is not that of its image.
        """
        with dataset_named(results):
            path = results.get('seg_map_path')
            if path is None:
                raise ValueError(
                    f'{results.get("img_path")} comes without a mask, but its pipeline loads one; '
                    'remove LoadCheckedAnnotations from the pipeline of an unlabeled source, or '
                    'list the mask'
                )
            content = read_bytes(path, 'mask', self.backend_args)
            labels = self._decode(content, path, results.get('label_hint') or '')
            self._check_size(results, labels)
            return labels

    def _decode(self, content: bytes, path: str, hint: str) -> np.ndarray:
        if self.imdecode_backend == 'pillow':
            return read_mask(content, name=path, hint=hint)
        check_mask_header(read_header(content, name=path, kind='mask'), hint)
        labels = decode_by_mmcv(content, 'mask', path, 'unchanged', self.imdecode_backend)
        labels = labels.squeeze(-1) if labels.shape[2:] == (1,) else labels
        return whole_numbers(labels, path, hint)

    def _check_size(self, results: dict, labels: np.ndarray) -> None:
        if 'ori_shape' not in results or labels.shape == tuple(results['ori_shape'][:2]):
            return
        height, width = results['ori_shape'][:2]
        try:
            image = fileio.get(results['img_path'], backend_args=self.backend_args)
            orientation = read_header(image, name=results['img_path']).orientation
        except (KeyError, OSError, ValueError):
            orientation = 1
        raise ValueError(size_problem(results, labels.shape[::-1], (width, height), orientation))

    def map_labels(self, results: dict, labels: np.ndarray) -> np.ndarray:
        """Return the classes that the values of a mask stand for.

        Args:
            results: The sample; ``has_left_out`` is added.
            labels: What :meth:`read` returns.

        Returns:
            np.ndarray: [H, W], uint8.

        Raises:
            ValueError: If a value is neither a class nor 255.
        """
        with dataset_named(results):
            num_classes = results.get('num_classes') or self.num_classes
            if num_classes is None:
                raise ValueError(
                    'the number of classes is unknown, expected metainfo with classes, or '
                    'LoadCheckedAnnotations(num_classes=...) in the pipeline'
                )
            labels = self.renamed(labels)
            table = label_table(results.get('label_map'), results.get('reduce_zero_label', False))
            valid = (table < num_classes) | (table == IGNORE_INDEX)
            found = values_of(labels)
            wrong = found[~np.isin(found, np.flatnonzero(valid))]
            if len(wrong):
                raise ValueError(
                    f'label {int(wrong[0])} in {results["seg_map_path"]}, expected '
                    f'{describe_valid(table, valid)}; {results.get("label_hint") or _HINT}'
                )
        results['has_left_out'] = shows_left_out_class(results, found)
        return cv2.LUT(labels.astype(np.uint8), table.astype(np.uint8))

    def renamed(self, values: np.ndarray) -> np.ndarray:
        """Apply the ``label_map`` of this transform, the first step of :meth:`map_labels`."""
        if values.dtype != np.uint8:
            # A type that has room for every value and for 255.
            values = values.astype(np.int64)
        labels = values
        for value, label in self.label_map.items():
            labels = np.where(values == value, label, labels)
        return labels


_HINT = (
    'check that it is a mask of these classes; values that stand for a class in another way are '
    'mapped by LoadCheckedAnnotations(label_map={VALUE: CLASS}), classes that count from 1 by '
    'reduce_zero_label=True in the dataset'
)


def size_problem(
    info: dict, found: tuple[int, int], expected: tuple[int, int], orientation: int = 1
) -> str:
    """Say that the size of a mask is not that of its image.

    Args:
        info: Of the sample, with ``img_path`` and ``seg_map_path``.
        found: Width and height of the mask.
        expected: Width and height of the image as it is loaded.
        orientation: Of the image's EXIF data, 1 to 8, which may be the cause.
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
