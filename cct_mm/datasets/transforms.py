"""Loading of images and masks that says what is wrong with a file, and which file.

Drop-in replacements for ``LoadImageFromFile`` and ``LoadAnnotations`` in any pipeline.
"""

import mmcv
import mmengine.fileio as fileio
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import TRANSFORMS

IGNORE_INDEX = 255
"""The label that belongs to no class; mmseg's own label maps hold this value as a constant."""


@TRANSFORMS.register_module()
class LoadCheckedImage(LoadImageFromFile):
    """Load an image as three channels, and refuse a broken file by name.

    mmcv fails on rubbish with a bare assertion, and most decoders fill the missing part of a
    truncated JPEG with grey, on which a run trains without a word. Grey images and images with an
    alpha channel come out as BGR like all others (``color_type='color'``).

    Required Keys: ``img_path``. Added Keys: ``img``, ``img_shape``, ``ori_shape``. An optional
    ``dataset_name`` is named in errors.

    Args:
        to_float32: Whether the image comes as float32 instead of uint8. Default: False.
        color_type: ``flag`` of :func:`mmcv.imfrombytes`. Default: ``'color'``.
        imdecode_backend: Decoder, see :func:`mmcv.imfrombytes`. Default: ``'cv2'``.
        backend_args: Arguments of mmengine's file backend. Default: None, local files.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is truncated or no image.
    """

    def __init__(
        self,
        to_float32: bool = False,
        color_type: str = 'color',
        imdecode_backend: str = 'cv2',
        backend_args: dict | None = None,
    ) -> None:
        super().__init__(
            to_float32=to_float32,
            color_type=color_type,
            imdecode_backend=imdecode_backend,
            backend_args=backend_args,
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
        problem = 'is truncated' if is_truncated(content) else ''
        if not problem:
            try:
                image = mmcv.imfrombytes(
                    content, flag=self.color_type, backend=self.imdecode_backend
                )
            # The backends raise what they like; cv2 answers None instead.
            except Exception:
                image = None
            problem = 'cannot be decoded' if image is None else ''
        if problem:
            raise ValueError(
                f'{_source(results)}image {path} {problem} ({len(content)} bytes); copy or '
                f'download it again, or take it off the list'
            )
        if self.to_float32:
            image = image.astype(np.float32)
        results['img'] = image
        results['img_shape'] = image.shape[:2]
        results['ori_shape'] = image.shape[:2]
        return results


def is_truncated(content: bytes) -> bool:
    """Whether the end of a JPEG or PNG file is missing, told without decoding it.

    A PNG ends with its IEND chunk, a JPEG's first scan is followed by an end marker. The headers
    of a JPEG are stepped over one by one, because an embedded thumbnail has an end marker of its
    own; bytes after the end, which some cameras write, are no fault.

    Args:
        content: The bytes of the file.

    Returns:
        True for a cut JPEG or PNG; False for a whole one and for every other format.
    """
    if content.startswith(b'\x89PNG'):
        return b'IEND' not in content
    if not content.startswith(b'\xff\xd8'):
        return False
    position = 2
    while content[position : position + 1] == b'\xff' and position + 4 <= len(content):
        if content[position + 1] == 0xDA:
            return content.find(b'\xff\xd9', position) < 0
        # Padding before a marker may be any number of 0xFF bytes.
        if content[position + 1] == 0xFF:
            position += 1
            continue
        position += 2 + int.from_bytes(content[position + 2 : position + 4], 'big')
    return True


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
        imdecode_backend: Decoder, see :func:`mmcv.imfrombytes`. Default: ``'pillow'``, which
            keeps the indices of palette images.
        backend_args: Arguments of mmengine's file backend. Default: None, local files.
        label_map: Class of each value of the files that is not the class itself, where masks were
            written in another way: ``{255: 1}`` for two classes as 0 and 255. It comes before the
            dataset's own ``reduce_zero_label`` and ``label_map``. Default: None.

    Raises:
        FileNotFoundError: There is no such mask.
        ValueError: ``label_map`` has something else than labels; the sample has no mask, the file
            cannot be decoded, is a colour image, differs from its image in size, or holds a label
            that is neither a class nor 255.
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
            raise ValueError(
                f'{_source(results)}mask {path} has {labels.shape[1]}x{labels.shape[0]} pixels, '
                f'expected {width}x{height} like {results.get("img_path")}; resize the mask '
                f'(nearest neighbour) or pair it with its own image'
            )
        results['gt_seg_map'] = self._map_labels(results, path, labels)
        results.setdefault('seg_fields', []).append('gt_seg_map')

    def _decode(self, results: dict, path: str) -> np.ndarray:
        content = _read_bytes(results, path, 'mask', self.backend_args)
        try:
            labels = mmcv.imfrombytes(content, flag='unchanged', backend=self.imdecode_backend)
        except Exception:
            labels = None
        if labels is None:
            raise ValueError(
                f'{_source(results)}mask {path} is truncated or no image ({len(content)} bytes); '
                f'copy or convert it again'
            )
        labels = labels.squeeze(-1) if labels.shape[2:] == (1,) else labels
        if labels.ndim != 2:
            raise ValueError(
                f'{_source(results)}mask {path} has {labels.shape[2]} channels, expected one with '
                f'the class index of each pixel{_hint(results)}'
            )
        return labels

    def _map_labels(self, results: dict, path: str, labels: np.ndarray) -> np.ndarray:
        num_classes = results.get('num_classes') or self.num_classes
        if num_classes is None:
            raise ValueError(
                f'{_source(results)}the number of classes is unknown, expected metainfo with '
                f'classes, or LoadCheckedAnnotations(num_classes=...) in the pipeline'
            )
        table = label_table(results.get('label_map'), results.get('reduce_zero_label', False))
        valid = (table < num_classes) | (table == IGNORE_INDEX)
        values = labels
        for value, label in self.label_map.items():
            labels = np.where(values == value, label, labels)

        wrong = ~valid[labels.astype(np.uint8)]
        if labels.dtype.itemsize > 1:
            # mmseg's cast to uint8 would turn label 256 of a 16 or 32 bit mask into class 0.
            wrong |= (labels < 0) | (labels > IGNORE_INDEX)
        if wrong.any():
            found = int(labels[wrong][0])
            raise ValueError(
                f'{_source(results)}label {found} in {path}, expected '
                f'{_expected(table, valid)}{_hint(results)}'
            )
        # The map applies after the shift by reduce_zero_label.
        shift = int(results.get('reduce_zero_label', False))
        pairs = (results.get('label_map') or {}).items()
        void = results.get('void_labels', ())
        left_out = [
            old + shift for old, new in pairs if new in (-1, IGNORE_INDEX) and old not in void
        ]
        results['has_left_out'] = bool(np.isin(labels, left_out).any())
        return table.astype(np.uint8)[labels.astype(np.uint8)]


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
    return f'; {results["label_hint"]}' if results.get('label_hint') else ''


def _read_bytes(results: dict, path: str, kind: str, backend_args: dict | None) -> bytes:
    try:
        return fileio.get(path, backend_args=backend_args)
    except FileNotFoundError:
        raise FileNotFoundError(
            f'{_source(results)}{kind} {path} does not exist; restore it, or take it off '
            f'the list and start again'
        ) from None
