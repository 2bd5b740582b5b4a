"""Files of image-level labels, which say which classes an image shows, but not where.

There are three formats, told apart by the suffix:

``.csv``
    ``image,label`` rows, several labels of an image separated by ``;`` (``x.jpg,cat;dog``) or in
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

from cct_mm.labels import BACKGROUND

from .file_finder import IMAGE_SUFFIXES
from .file_lists import read_text

HEADERS = ('label', 'labels', 'class', 'classes')
"""Second field of a header of a CSV file."""


class ImageLabels(Mapping[str, tuple[int, ...]]):
    """The image-level labels of one file, looked up by the path of an image.

    Args:
        labels: Image, without suffix and with forward slashes -> sorted class indices.
        source: The file, as errors call it.
        incomplete: The images that also show classes that are not among the domain's.
    """

    def __init__(
        self, labels: dict[str, tuple[int, ...]], source: str, incomplete: set[str]
    ) -> None:
        self.labels, self.source, self.incomplete = labels, source, incomplete

    def __getitem__(self, image: str | os.PathLike) -> tuple[int, ...]:
        """Return the labels of an image.

        Args:
            image: Its path. The longest end of it that the file knows counts: of
                ``data/a/x.jpg`` first ``data/a/x``, then ``a/x``, then ``x``.

        Returns:
            Sorted indices of its classes, without background.

        Raises:
            KeyError: If the file has no labels of the image.
        """
        return self.labels[self._find(image)]

    def complete(self, image: str | os.PathLike) -> bool:
        """Tell whether an image shows no other classes than the domain's; KeyError as above."""
        return self._find(image) not in self.incomplete

    def _find(self, image: str | os.PathLike) -> str:
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
            has no entry in a vector, whether it is named here or not. Default: ``classes``.

    Returns:
        Image -> sorted indices of its classes, without background; and which images show classes
        that are not among the domain's.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be read or is empty, a label is unknown, a vector is not as
            long as there are classes, or a class of the domain is not among ``file_classes``.
    """
    path, classes = os.fspath(path), list(classes)
    file_classes = classes if file_classes is None else list(file_classes)
    suffix = posixpath.splitext(path)[1].lower()
    _check_file(path, suffix, classes, file_classes)
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
    return ImageLabels(labels, path, {image for image, names in found.items() if names - known})


def _check_file(path: str, suffix: str, classes: list[str], file_classes: list[str]) -> None:
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
    unlabeled = [name for name in classes if name not in (BACKGROUND, *file_classes)]
    if unlabeled:
        raise ValueError(
            f'{path}: classes {", ".join(unlabeled)} are not in file_classes '
            f'({", ".join(file_classes)}), so that no label could name them; use the names of '
            f'file_classes, or leave these classes out'
        )


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


_READERS = {'.csv': _read_csv, '.json': _read_json, '.npy': _read_npy}

_UNPICKLED = {
    ('numpy', 'ndarray'),
    ('numpy', 'dtype'),
    ('numpy.core.multiarray', '_reconstruct'),
    ('numpy.core.multiarray', 'scalar'),
    ('numpy.core.numeric', '_frombuffer'),
    ('collections', 'OrderedDict'),
    # How the format of Python 2 encodes bytes.
    ('_codecs', 'encode'),
}


def _load_npy(path: str) -> Any:
    """Read an object that ``numpy.save`` wrote, without running code that the file names."""
    with open(path, 'rb') as file:
        try:
            major, _ = np.lib.format.read_magic(file)
            read_header = getattr(np.lib.format, f'read_array_header_{min(major, 2)}_0')
            _, _, dtype = read_header(file)
            if not dtype.hasobject:
                return np.load(path, allow_pickle=False)
            return _Unpickler(file).load()[()]
        except _Refused:
            raise
        except _DAMAGED as error:
            raise ValueError(f'{path} cannot be unpickled ({error}); copy it again') from None


# All that reading a damaged pickle may raise.
_DAMAGED = (pickle.UnpicklingError, EOFError, ArithmeticError, AttributeError, LookupError)
_DAMAGED += (TypeError, ValueError)


class _Refused(ValueError):
    pass


class _Unpickler(pickle.Unpickler):
    """Makes dictionaries, numbers, text and arrays, and nothing else."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self.path = file.name

    def find_class(self, module: str, name: str) -> Any:
        # NumPy has moved these from `core` to `_core`.
        if (module.replace('._core.', '.core.'), name) in _UNPICKLED:
            return super().find_class(module, name)
        raise _Refused(
            f'{self.path} holds {module}.{name}, expected a dictionary of arrays and nothing '
            'else: reading it may run any code, so it was not read; write the labels as CSV or '
            'JSON, or take the file from where it comes from again'
        )


def _names(labels: Iterable[str | int], classes: list[str], where: str) -> set[str]:
    """Return the names of classes that are given by name or index."""
    names = set()
    for label in labels:
        if label in classes or label == BACKGROUND:
            names.add(label)
            continue
        # Not int(label), which takes True and 1.5 for an index.
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
    stem, suffix = posixpath.splitext(_normalize(image))
    # An id may contain a dot: only what is known to be a suffix is removed.
    return stem if suffix.lower() in IMAGE_SUFFIXES else stem + suffix


def _normalize(path: str) -> str:
    return posixpath.normpath(path.replace('\\', '/')).lstrip('/')
