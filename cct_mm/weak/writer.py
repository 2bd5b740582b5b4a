"""Pseudo-labels on disk: as the dataset's own masks are, each whole or not there at all."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import PIL.Image

from cct_mm.datasets.transforms import label_table
from cct_mm.files import write_atomically
from cct_mm.labels import IGNORE_INDEX
from cct_mm.visualization import indexed_png

NOTE = 'image-level labels'
"""Under which a label file says of which classes its labels are."""


class LabelFiles:
    """What a dataset's label files look like: their values and their palette.

    A label file holds the values of the dataset's own masks, not the indices of the classes in
    use: read by the same dataset (``label_map``, ``reduce_zero_label``) it gives these.

    Args:
        dataset: An mmseg dataset.

    Raises:
        ValueError: If no value of a file stands for a class.
    """

    def __init__(self, dataset) -> None:
        self.folder = dataset.data_prefix.get('img_path') or dataset.data_root or ''
        self.image_suffixes = dataset.img_suffix
        if not dataset.seg_map_suffix.endswith('.png'):
            raise ValueError(
                f'the dataset has seg_map_suffix={dataset.seg_map_suffix!r}, expected one that '
                'ends in .png: pseudo-labels are indexed PNGs; set it for their source'
            )
        self.suffix = dataset.seg_map_suffix.removesuffix('.png')
        classes = list(dataset.metainfo['classes'])
        values = label_table(dataset.label_map, dataset.reduce_zero_label)
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
        """Return the path of an image's label below the folder of labels, without ``.png``.

        It is where the dataset looks for it once ``data_prefix['seg_map_path']`` is that folder
        (a ``ListDataset``: with a list of images alone).

        Raises:
            ValueError: If the image is not below the dataset's folder of images.
        """
        path = Path(os.path.relpath(image, self.folder or '.')).as_posix()
        if path.startswith('../'):
            raise ValueError(
                f'{image} is not below {self.folder}, expected it there, because its label file '
                'goes to the same place below the folder of labels; set data_prefix["img_path"]'
            )
        if isinstance(self.image_suffixes, str) and path.endswith(self.image_suffixes):
            stem = path.removesuffix(self.image_suffixes)
        else:
            stem = os.path.splitext(path)[0]
        return stem + self.suffix

    def encode(self, labels: np.ndarray, shown: str = '') -> bytes:
        """Return an indexed PNG.

        Args:
            labels: Class indices, 255 where there is none, [H, W].
            shown: What the image shows by its image-level labels, to be kept in the file.
        """
        return indexed_png(self.table[labels], self.palette, {NOTE: shown})


class Folder:
    """The folder that pseudo-labels are written to.

    Half-written files are kept in a subfolder of each process's own until they are whole. It is
    emptied at its next start, and removed where a later start has fewer processes.

    Args:
        path: The folder.
        settings: What the files depend on; kept beside them as JSON, so that files of two recipes
            do not mix.
        rank: Of this process among several.
        world_size: How many these are.

    Raises:
        ValueError: If the folder holds files of other settings, or files of unknown origin.
    """

    SETTINGS = 'pseudo_labels.json'

    def __init__(
        self, path: str | os.PathLike, settings: dict, rank: int = 0, world_size: int = 1
    ) -> None:
        self.path = Path(path)
        self.unfinished = self.path / f'.unfinished-{rank}'
        there = self.path / self.SETTINGS
        # As they come back from the file: JSON knows no tuples.
        settings = json.loads(json.dumps(settings, default=str))
        if there.is_file():
            if (found := json.loads(there.read_text(encoding='utf-8'))) != settings:
                raise ValueError(
                    f'{self.path} holds pseudo-labels of other settings:\n'
                    f'{_difference(found, settings)}\nexpected the same, two recipes would '
                    'mix; choose another --out, or remove the folder'
                )
        elif self.path.is_dir() and any(self.path.glob('**/*.png')):
            raise ValueError(
                f'{self.path} holds PNG files, but no {self.SETTINGS}, expected an empty or new '
                'folder: nothing of yours is overwritten; choose another --out'
            )
        for left in self.path.glob('.unfinished-*'):
            number = left.name.removeprefix('.unfinished-')
            # Those of the other ranks are in use.
            if number == str(rank) or (number.isdecimal() and int(number) >= world_size):
                shutil.rmtree(left, ignore_errors=True)
        self.unfinished.mkdir(parents=True)
        write_atomically(there, json.dumps(settings, indent=2) + '\n')

    def file(self, name: str) -> Path:
        """Return the path of the pseudo-label of an image, given without suffix."""
        return self.path / f'{name}.png'

    def has(self, name: str) -> bool:
        """Whether the pseudo-label of an image is there; a power failure leaves empty files."""
        file = self.file(name)
        return file.is_file() and file.stat().st_size > 0

    def note(self, name: str) -> str | None:
        """Return what :meth:`LabelFiles.encode` kept in a file.

        None where it does not tell: someone else wrote it, such as a user who corrected it by hand.

        Raises:
            ValueError: If the file cannot be read, such as for want of permission.
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
                f'it is made again'
            ) from None

    def remove(self, name: str) -> None:
        """Remove the pseudo-label of an image, if there is one."""
        self.file(name).unlink(missing_ok=True)

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole or not at all.

        Raises:
            OSError: If it cannot be written, such as on a full disk; the message says what to do.
        """
        target = self.file(name)
        unfinished = self.unfinished / f'{os.getpid()}.png'
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            unfinished.write_bytes(content)
            os.replace(unfinished, target)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise OSError(
                error.errno,
                f'{target} could not be written ({error.strerror}); what is there is whole: make '
                'room, and run the same command again to go on',
            ) from None

    def close(self) -> None:
        """Remove what was kept for half-written files."""
        shutil.rmtree(self.unfinished, ignore_errors=True)


def _difference(found: dict, wanted: dict) -> str:
    keys = [key for key in {**found, **wanted} if found.get(key) != wanted.get(key)]
    return '\n'.join(f'  {key}: {found.get(key)}, now {wanted.get(key)}' for key in keys)
