"""The transform that adds image-level labels to a sample, from a file or from its mask."""

import os
from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from cct_mm.labels import BACKGROUND, IGNORE_INDEX

from ..image_label_files import read_image_labels


@TRANSFORMS.register_module()
class LoadImageLabels(BaseTransform):
    """Add the classes that an image shows, from a file or from its mask.

    The file is read when the pipeline is built, so that what is wrong with it is found before
    training. It describes whole images: a crop may have lost what the file names. A mask is counted
    at this place of the pipeline: before a crop it is that of the image, after it that of the crop.

    ``PackSegInputs`` packs only keys that it knows, so ``'image_labels'`` has to be among its
    ``meta_keys``, and ``'image_labels_complete'`` for all but an ``ImageClassifier``.

    Required keys: ``img_path`` with ``path``, else ``gt_seg_map``. Added keys: ``image_labels``,
    a sorted tuple of class indices without background, and ``image_labels_complete``, whether the
    image shows no further classes, such as those that the domain leaves out. If it does, what is no
    object of the domain need not be background.

    Args:
        classes: The domain's classes.
        path: The file, see :mod:`cct_mm.datasets.image_label_files`. Default: None, the labels come
            from the mask.
        file_classes: The classes that the file knows, where they are more than the domain's.

    Raises:
        ValueError: If an argument or the file is wrong, if there is no mask, or if it holds a label
            that is no class.
        KeyError: If the file has no labels of the image.

    Example:
        >>> pipeline = [
        ...     dict(type='LoadCheckedImage'),
        ...     dict(type='LoadImageLabels', classes=('background', 'leaf'), path='leaves.csv'),
        ...     dict(type='PackSegInputs', meta_keys=(
        ...         'img_path', 'img_shape', 'image_labels', 'image_labels_complete'))]
    """

    def __init__(
        self,
        classes: Sequence[str],
        path: str | os.PathLike | None = None,
        file_classes: Sequence[str] | None = None,
    ) -> None:
        if path is None and file_classes is not None:
            raise ValueError(
                'LoadImageLabels: file_classes is given without a path, expected both or none; a '
                'mask has the classes of its dataset, leave file_classes out'
            )
        self.classes = tuple(classes)
        self.labels = None if path is None else read_image_labels(path, classes, file_classes)

    def transform(self, results: dict) -> dict:
        """Add ``image_labels`` and ``image_labels_complete``."""
        if self.labels is None:
            results['image_labels'] = self._from_mask(results)
            results['image_labels_complete'] = not results.get('has_left_out', False)
        else:
            results['image_labels'] = self.labels[results['img_path']]
            results['image_labels_complete'] = self.labels.complete(results['img_path'])
        return results

    def check_classes(self, classes: Sequence[str], where: str) -> None:
        """Check that indices mean the same to the dataset, which errors call ``where``.

        Raises:
            ValueError: If its classes are others, or in another order.
        """
        if self.classes != tuple(classes):
            raise ValueError(
                f'{where}: LoadImageLabels has the classes {list(self.classes)}, expected those of '
                f'the dataset, {list(classes)}, in this order, background among them; a file that '
                'names fewer needs no other classes'
            )

    def _from_mask(self, results: dict) -> tuple[int, ...]:
        if 'gt_seg_map' not in results:
            raise ValueError(
                f'LoadImageLabels: {results.get("img_path")} comes without a mask, expected '
                f'LoadCheckedAnnotations before, or a file of labels in path'
            )
        pixels = np.bincount(results['gt_seg_map'].ravel(), minlength=IGNORE_INDEX + 1)
        unknown = np.flatnonzero(pixels[len(self.classes) : IGNORE_INDEX])
        if len(unknown):
            raise ValueError(
                f'LoadImageLabels: label {unknown[0] + len(self.classes)} in the mask of '
                f'{results.get("img_path")}, expected 0-{len(self.classes) - 1} or '
                f'{IGNORE_INDEX}; give the classes of the dataset'
            )
        return tuple(i for i, name in enumerate(self.classes) if name != BACKGROUND and pixels[i])

    def __repr__(self) -> str:
        source = 'mask' if self.labels is None else self.labels.source
        return f'{type(self).__name__}(source={source!r})'
