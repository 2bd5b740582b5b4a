"""Image-level labels: which classes an image shows, without saying where.

They are read from a file, or counted in a mask. Three formats, told apart by the suffix:

``.csv``
    ``image,label`` rows, several labels of an image divided by ``;`` (``x.jpg,cat;dog``) or in
    rows of their own, which add up. No label (``x.jpg,``) is an image with background alone. A
    first row whose second field is ``label``, ``labels``, ``class`` or ``classes`` is a header.
``.json``
    ``{"image": ["cat", "dog"]}``.
``.npy``
    A pickled dictionary, image -> vector of 0 and 1 with an entry for each class but
    ``background``: the ``cls_labels.npy`` that papers on PASCAL VOC share. An integer of ten
    digits is an id of VOC (2007000032 is 2007_000032). Only dictionaries, numbers, text and arrays
    are unpickled: a file that would run code is refused.

A label is the name of a class or its index. An image is a path, or any end of one, with or without
the suffix.
"""

import csv
import io
import json
import os
import pickle
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from cct_mm.labels import BACKGROUND, IGNORE_INDEX

from .file_lists import IMAGE_SUFFIXES, read_text

HEADERS = ('label', 'labels', 'class', 'classes')
"""Second field of a header of a CSV file."""


class ImageLabels(Mapping[str, tuple[int, ...]]):
    """The image-level labels of one file, looked up by the path of an image.

    Args:
        labels: Image, without suffix and with forward slashes -> sorted class indices.
        source: The file, for errors.
        incomplete: The images that show further classes, which are none of the domain's.
    """

    def __init__(
        self,
        labels: Mapping[str, tuple[int, ...]],
        source: str,
        incomplete: Iterable[str] = (),
    ) -> None:
        self.labels = dict(labels)
        self.source = source
        self.incomplete = set(incomplete)

    def __getitem__(self, image: str | os.PathLike) -> tuple[int, ...]:
        """Return the labels of an image.

        Args:
            image: Its path. The longest end of it that the file has counts: of
                ``data/a/x.jpg`` first ``data/a/x``, then ``a/x``, then ``x``.

        Returns:
            Sorted indices of its classes, without background.

        Raises:
            KeyError: The file has no labels of the image.
        """
        return self.labels[self._key(image)]

    def complete(self, image: str | os.PathLike) -> bool:
        """Tell whether an image shows none but the domain's classes.

        Raises:
            KeyError: The file has no labels of the image.
        """
        return self._key(image) not in self.incomplete

    def _key(self, image: str | os.PathLike) -> str:
        # Only the suffix of a file that was found is sure to be one.
        parts = _normalize(posixpath.splitext(Path(image).as_posix())[0]).split('/')
        for start in range(len(parts)):
            key = '/'.join(parts[start:])
            if key in self.labels:
                return key
        raise KeyError(
            f'{self.source}: no image-level labels of {image}, expected an entry {parts[-1]} or a '
            f'longer end of this path (there are {len(self)}, such as {next(iter(self))}); add '
            f'its labels, or take the image off the list'
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self.labels)

    def __len__(self) -> int:
        return len(self.labels)


def read_image_labels(
    path: str | os.PathLike, classes: Sequence[str], file_classes: Sequence[str] | None = None
) -> ImageLabels:
    """Read image-level labels.

    Args:
        path: The file; see the module's docstring for the formats.
        classes: The domain's classes. The result holds indices into them.
        file_classes: The classes that the file knows, in the order of its vectors and indices,
            where they are more than ``classes``: labels of the others are dropped. ``background``
            has no entry in a vector, whether it stands here or not. Default: ``classes``.

    Returns:
        Image -> sorted indices of its classes, without background; and which images show classes
        that are none of the domain's.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file cannot be read or is empty, a label is unknown, a vector has another
            length than there are classes, or a class of the domain is none of ``file_classes``.
    """
    path = os.fspath(path)
    suffix = posixpath.splitext(path)[1].lower()
    if suffix not in _READERS:
        raise ValueError(
            f'image-level labels {path} end with {suffix!r}, expected {", ".join(_READERS)}; '
            f'convert the file'
        )
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f'file of image-level labels {path} does not exist; check the path, or load the masks '
            f'(LoadCheckedAnnotations) and leave the path of LoadImageLabels out'
        )
    classes = list(classes)
    file_classes = classes if file_classes is None else list(file_classes)
    unlabeled = [name for name in classes if name not in (BACKGROUND, *file_classes)]
    if unlabeled:
        raise ValueError(
            f'{path}: classes {", ".join(unlabeled)} are not in file_classes '
            f'({", ".join(file_classes)}), so that no label could name them; use the names of '
            f'file_classes, or leave these classes out'
        )
    found: dict[str, set[str]] = {}
    for image, names in _READERS[suffix](path, file_classes):
        found.setdefault(_key(image), set()).update(names)
    if not found:
        raise ValueError(f'{path} is empty, expected the labels of at least one image')
    labels = {
        image: tuple(i for i, name in enumerate(classes) if name in names and name != BACKGROUND)
        for image, names in found.items()
    }
    known = {*classes, BACKGROUND}
    return ImageLabels(labels, path, (image for image, names in found.items() if names - known))


_Rows = Iterator[tuple[str, set[str]]]


def _read_csv(path: str, classes: list[str]) -> _Rows:
    lines = csv.reader(io.StringIO(read_text(path), newline=''))
    rows = [(i, row) for i, row in enumerate(lines, start=1) if any(row)]
    for position, (number, row) in enumerate(rows):
        if len(row) != 2 or not row[0].strip():
            raise ValueError(
                f'{path}, line {number}: found {len(row)} fields {row}, expected "image,label" '
                f'with ";" between several labels'
            )
        image, text = (field.strip() for field in row)
        if position == 0 and text.lower() in HEADERS and text not in classes:
            continue
        labels = [label.strip() for label in text.split(';')] if text else []
        yield image, _names(labels, classes, f'{path}, image {image}')


def _read_json(path: str, classes: list[str]) -> _Rows:
    text = read_text(path)
    try:
        content = json.loads(text)
    except ValueError as error:
        raise ValueError(f'{path} is no JSON ({error}); write it again') from None
    if not isinstance(content, dict):
        raise ValueError(
            f'{path} holds a {type(content).__name__}, expected {{"image": ["cat", "dog"]}}'
        )
    for image, labels in content.items():
        where = f'{path}, image {image}'
        if not isinstance(labels, list):
            raise ValueError(f'{where}: found {labels!r}, expected a list of labels; add brackets')
        yield image, _names(labels, classes, where)


def _read_npy(path: str, classes: list[str]) -> _Rows:
    foreground = [name for name in classes if name != BACKGROUND]
    content = _load_npy(path)
    if not isinstance(content, dict):
        raise ValueError(
            f'{path} holds a {type(content).__name__}, expected a dictionary, image -> vector; '
            f'save it with numpy.save(path, dictionary)'
        )
    for image, vector in content.items():
        vector = np.asarray(vector)
        if vector.shape != (len(foreground),):
            raise ValueError(
                f'{path}, image {image}: a vector of shape {vector.shape}, expected '
                f'({len(foreground)},), an entry for each of {", ".join(foreground)}; name the '
                f'classes of the file in file_classes'
            )
        if not np.isin(vector, (0, 1)).all():
            raise ValueError(
                f'{path}, image {image}: values {np.unique(vector)}, expected 0 and 1; threshold '
                f'scores first'
            )
        text = str(image)
        if isinstance(image, (int, np.integer)) and len(text) == 10:
            text = f'{text[:4]}_{text[4:]}'
        yield text, {foreground[i] for i in np.flatnonzero(vector)}


def _load_npy(path: str) -> Any:
    """Read what ``numpy.save`` wrote of an object, without running code that the file names."""
    with open(path, 'rb') as file:
        try:
            version = np.lib.format.read_magic(file)
            read_header = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            _, _, dtype = read_header(file)
            if not dtype.hasobject:
                return np.load(path, allow_pickle=False)
            return _Unpickler(file).load()[()]
        except _Refused:
            raise
        # What damaged pickles lead to.
        except (
            pickle.UnpicklingError,
            EOFError,
            ArithmeticError,
            AttributeError,
            LookupError,
            TypeError,
            ValueError,
        ) as error:
            raise ValueError(f'{path} cannot be unpickled ({error}); copy it again') from None


class _Refused(ValueError):
    pass


class _Unpickler(pickle.Unpickler):
    """Makes dictionaries, numbers, text and arrays, and nothing else."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self.path = file.name

    def find_class(self, module: str, name: str) -> Any:
        """Return what a pickle names, if it is known."""
        # NumPy has moved these from `core` to `_core`.
        if (module.replace('._core.', '.core.'), name) in _UNPICKLED:
            return super().find_class(module, name)
        raise _Refused(
            f'{self.path} holds {module}.{name}, expected a dictionary of arrays and nothing '
            'else: reading it may run any code, so it was not read; write the labels as CSV or '
            'JSON, or take the file from where it comes from again'
        )


_UNPICKLED = {
    ('numpy', 'ndarray'),
    ('numpy', 'dtype'),
    ('numpy.core.multiarray', '_reconstruct'),
    ('numpy.core.multiarray', 'scalar'),
    ('numpy.core.numeric', '_frombuffer'),
    ('collections', 'OrderedDict'),
    # How Python 2's format spells bytes.
    ('_codecs', 'encode'),
}

_READERS = {'.csv': _read_csv, '.json': _read_json, '.npy': _read_npy}


def _names(labels: Iterable[str | int], classes: list[str], where: str) -> set[str]:
    """Names of the classes, each given by its name or index."""
    names = set()
    for label in labels:
        if label in classes or label == BACKGROUND:
            names.add(label)
            continue
        # Not int(label): that takes True and 1.5 for an index.
        text = str(label)
        if not text.isdecimal() or int(text) >= len(classes):
            known = ', '.join(f'{i} {name}' for i, name in enumerate(classes))
            raise ValueError(
                f'{where}: unknown label {label!r}, expected names or indices of {known}; correct '
                f'it, or name the classes of the file in file_classes'
            )
        names.add(classes[int(text)])
    return names


def _key(image: str) -> str:
    """What stands for an image of a file: its path without suffix."""
    stem, suffix = posixpath.splitext(_normalize(image))
    # An id may hold a dot: only what is known to be a suffix is taken off.
    return stem if suffix.lower() in IMAGE_SUFFIXES else stem + suffix


def _normalize(path: str) -> str:
    return posixpath.normpath(path.replace('\\', '/')).lstrip('/')


@TRANSFORMS.register_module()
class LoadImageLabels(BaseTransform):
    """Add the classes that an image shows, from a file or from its mask.

    The file is read when the pipeline is built, so that what is wrong with it is found before
    training. It tells about whole images: a crop may have lost what it names. The mask is counted
    as it is at this place of the pipeline: before a crop it is that of the image, after it that of
    the crop.

    ``PackSegInputs`` packs only keys that it knows, so ``'image_labels'`` has to be among its
    ``meta_keys``.

    Required Keys: ``img_path`` with ``path``, else ``gt_seg_map``. Added Keys: ``image_labels``,
    a sorted tuple of class indices without background, and ``image_labels_complete``, whether the
    image shows no further classes, such as those that the domain leaves out: where it does, what is
    no object of the domain need not be background.

    Args:
        classes: The domain's classes.
        path: The file, see :func:`read_image_labels`. Default: None, the labels come from the mask.
        file_classes: The classes that the file knows, where they are more than the domain's.
        min_pixels: Number of pixels in the mask from which on a class counts. Default: 1.

    Raises:
        ValueError: An argument is wrong, or the file is, see :func:`read_image_labels`; there is
            no mask, or it holds a label that is no class.
        KeyError: The file has no labels of the image.

    Example:
        >>> pipeline = [
        ...     dict(type='LoadCheckedImage'),
        ...     dict(type='LoadImageLabels', classes=('background', 'leaf'), path='leaves.csv'),
        ...     dict(type='PackSegInputs', meta_keys=('img_path', 'img_shape', 'image_labels'))]
    """

    def __init__(
        self,
        classes: Sequence[str],
        path: str | os.PathLike | None = None,
        file_classes: Sequence[str] | None = None,
        min_pixels: int = 1,
    ) -> None:
        if min_pixels < 1:
            raise ValueError(f'LoadImageLabels: min_pixels is {min_pixels}, expected at least 1')
        if path is None and file_classes is not None:
            raise ValueError(
                'LoadImageLabels: file_classes is given without a path, expected both or none; a '
                'mask has the classes of its dataset, leave file_classes out'
            )
        self.classes = tuple(classes)
        self.min_pixels = min_pixels
        self.labels = None if path is None else read_image_labels(path, classes, file_classes)

    def transform(self, results: dict) -> dict:
        """Add ``image_labels``.

        Args:
            results: The sample, see the class.

        Returns:
            The same dictionary.
        """
        if self.labels is None:
            results['image_labels'] = self._from_mask(results)
            results['image_labels_complete'] = not results.get('has_left_out', False)
        else:
            results['image_labels'] = self.labels[results['img_path']]
            results['image_labels_complete'] = self.labels.complete(results['img_path'])
        return results

    def check_classes(self, classes: Sequence[str], where: str) -> None:
        """Check that indices mean the same to the dataset.

        Args:
            classes: The dataset's.
            where: What an error calls it.

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
        return tuple(
            i
            for i, name in enumerate(self.classes)
            if name != BACKGROUND and pixels[i] >= self.min_pixels
        )

    def __repr__(self) -> str:
        source = 'mask' if self.labels is None else self.labels.source
        return f'{type(self).__name__}(source={source!r}, min_pixels={self.min_pixels})'
