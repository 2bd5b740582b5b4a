"""Pseudo-labels on disk: files like the dataset's own masks, each written whole or not at all."""

import os
from pathlib import Path

import numpy as np
import PIL.Image

from cct_mm.datasets.file_finder import without_suffix
from cct_mm.datasets.transforms import LoadCheckedAnnotations, label_table
from cct_mm.labels import IGNORE_INDEX
from cct_mm.result_folder import ResultFolder
from cct_mm.visualization import indexed_png

NOTE = 'image-level labels'
"""Key of the text in a label file that names the image-level labels it was made from."""


class LabelFiles:
    """Names and encodes the label files of a dataset.

    A label file holds the values of the dataset's own masks, which the dataset turns into class
    indices by its ``label_map`` and ``reduce_zero_label``, after that of its pipeline's
    :class:`~cct_mm.datasets.transforms.LoadCheckedAnnotations`.

    Args:
        dataset: An mmseg dataset.

    Raises:
        ValueError: If the dataset's masks are no PNGs, no value of a mask stands for a class, or
            255 for one.
    """

    def __init__(self, dataset) -> None:
        self.folder = dataset.data_prefix.get('img_path') or dataset.data_root or ''
        suffixes = dataset.img_suffix
        self.image_suffixes = (suffixes,) if isinstance(suffixes, str) else tuple(suffixes)
        if not dataset.seg_map_suffix.endswith('.png'):
            raise ValueError(
                f'the dataset has seg_map_suffix={dataset.seg_map_suffix!r}, expected one that '
                'ends in .png: pseudo-labels are indexed PNGs; set it for their source'
            )
        self.suffix = dataset.seg_map_suffix.removesuffix('.png')
        classes = list(dataset.metainfo['classes'])
        values = label_table(dataset.label_map, dataset.reduce_zero_label)
        for loader in dataset.pipeline.transforms:
            if isinstance(loader, LoadCheckedAnnotations):
                values = values[loader.renamed(np.arange(IGNORE_INDEX + 1))]
                if values[IGNORE_INDEX] != IGNORE_INDEX:
                    raise ValueError(
                        f'the source loads label files with label_map={loader.label_map}, by which '
                        '255 is a class, expected it to be none, as it is in pseudo-labels; give '
                        "the source a dict(type='LoadCheckedAnnotations') of its own, without "
                        'label_map'
                    )
        self.table = np.full(IGNORE_INDEX + 1, IGNORE_INDEX, np.uint8)
        for index, name in enumerate(classes):
            found = np.flatnonzero(values == index)
            if not len(found):
                raise ValueError(
                    f'no value of a label file stands for class {index} ({name}), expected one; '
                    'look at the label_map and reduce_zero_label of the dataset'
                )
            self.table[index] = found[0]
        self.palette = np.zeros((256, 3), np.uint8)
        self.palette[IGNORE_INDEX] = 224
        own = dataset.METAINFO.get('palette')
        if own and dataset.METAINFO.get('classes') and not dataset.reduce_zero_label:
            self.palette[: len(own)] = own
        self.palette[self.table[: len(classes)]] = dataset.metainfo['palette'][: len(classes)]

    def name(self, image: str) -> str:
        """Return the path of an image's label file in the folder of labels, without ``.png``.

        The dataset looks for the file there if ``data_prefix['seg_map_path']`` is that folder (a
        ``ListDataset`` only if its list names no label files).

        Raises:
            ValueError: If the image is not below the dataset's folder of images.
        """
        path = Path(os.path.relpath(image, self.folder or '.')).as_posix()
        if path.startswith('../'):
            raise ValueError(
                f'{image} is not below {self.folder}, expected it there, because its label file '
                'goes to the same place below the folder of labels; set data_prefix["img_path"]'
            )
        return without_suffix(path, self.image_suffixes) + self.suffix

    def encode(self, labels: np.ndarray, shown: str = '') -> bytes:
        """Return an indexed PNG.

        Args:
            labels: Class indices, 255 where a pixel has none, [H, W].
            shown: Image-level labels in words, which are kept in the file.
        """
        return indexed_png(self.table[labels], self.palette, {NOTE: shown})


class Folder(ResultFolder):
    """The folder that pseudo-labels are written to; files are named without their ``.png``.

    Its arguments and errors are those of a :class:`~cct_mm.result_folder.ResultFolder`.
    """

    WHAT = 'pseudo-labels'
    SETTINGS = 'pseudo_labels.json'
    RESULTS = ('**/*.png',)

    def file(self, name: str) -> Path:
        """Return the path of the pseudo-label of an image, given without suffix."""
        return super().file(f'{name}.png')

    def note(self, name: str) -> str | None:
        """Return the image-level labels that :meth:`LabelFiles.encode` kept in a file.

        A file without them, such as one that a user corrected by hand, gives None.

        Raises:
            ValueError: If the file cannot be read.
        """
        file = self.file(name)
        try:
            with PIL.Image.open(file) as picture:
                return picture.info.get(NOTE)
        except PIL.UnidentifiedImageError:
            return None
        except (OSError, ValueError) as error:
            raise ValueError(
                f'the label file {file} cannot be read ({error}), expected a PNG; remove it, and '
                'it is made again'
            ) from None

    def remove(self, name: str) -> None:
        """Remove the pseudo-label of an image if it exists."""
        self.file(name).unlink(missing_ok=True)
