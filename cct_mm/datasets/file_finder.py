"""Finding files by name: images below a folder, and files whose names differ in details."""

import os
import os.path as osp
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from .checks.mask_names import check_no_masks

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.ppm')
"""Usual image suffixes, in the order in which they stand in for one another."""


def suffix_of(path: str, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> str | None:
    """Return the end of a path that is one of the suffixes, in either case; the longest that fits.

    A name that is nothing but the suffix, such as ``.jpg``, is a hidden file and has no suffix.
    """
    name = osp.basename(path)
    fitting = [s for s in suffixes if name.lower().endswith(s.lower()) and len(name) > len(s)]
    length = max(map(len, fitting), default=0)
    return path[len(path) - length :] if length else None


def without_suffix(path: str, suffixes: Sequence[str]) -> str:
    """Remove one of the suffixes from a path, or else what follows its last dot."""
    suffix = suffix_of(path, suffixes)
    return osp.splitext(path)[0] if suffix is None else path[: -len(suffix)]


def walk_folder(folder: str | os.PathLike, suffixes: Sequence[str]) -> list[str]:
    """List the files below a folder whose names end so, in the same order on every machine.

    Linked folders are followed, each real folder once. Hidden files and folders are left out,
    because they are thumbnails and leftovers of editors (``._x.jpg``, ``.ipynb_checkpoints``).

    Args:
        folder: Where to look, recursively.
        suffixes: How the names end, in either case.

    Returns:
        Sorted paths relative to ``folder``, with forward slashes.
    """
    found: list[str] = []
    visited: set[str] = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        real = osp.realpath(parent)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        # Sorted, because of links to one folder the first that is visited counts.
        folders[:] = sorted(name for name in folders if not name.startswith('.'))
        found += [
            Path(osp.relpath(osp.join(parent, name), folder)).as_posix()
            for name in files
            if not name.startswith('.') and suffix_of(name, suffixes)
        ]
    return sorted(found)


def list_image_folder(
    folder: str | os.PathLike,
    suffixes: Sequence[str] = IMAGE_SUFFIXES,
    mask_suffix: str | None = None,
) -> list[str]:
    """List all images below a folder, see :func:`walk_folder`; masks among them are refused.

    Args:
        folder: Where to look, recursively.
        suffixes: How names of images end, such as ``.jpg`` or ``_sat.jpg``, in either case.
        mask_suffix: How names of masks end, which are left out. If it is the suffix of images,
            too, such as ``.png``, a file is a mask only beside an image of the same stem. None
            leaves nothing out.

    Returns:
        Sorted paths relative to ``folder``, with forward slashes.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds no image, or if masks lie among the images.
    """
    folder = os.fspath(folder)
    if not osp.isdir(folder):
        raise FileNotFoundError(
            f'image folder {folder} does not exist; check data_root and data_prefix'
        )
    images = walk_folder(folder, suffixes)
    if mask_suffix is not None:
        images = _without_masks(images, suffixes, mask_suffix)
    if not images:
        raise ValueError(
            f'image folder {folder} holds no image, expected files with one of '
            f'{" ".join(suffixes)} in it or in its subfolders'
        )
    try:
        check_no_masks(images)
    except ValueError as error:
        raise ValueError(f'image folder {folder}: {error}') from None
    return images


def _without_masks(images: list[str], suffixes: Sequence[str], mask_suffix: str) -> list[str]:
    masks = {path for path in images if suffix_of(path, (mask_suffix,))}
    if mask_suffix.lower() in (suffix.lower() for suffix in suffixes):
        stems = {without_suffix(path, suffixes) for path in images if path not in masks}
        masks = {path for path in masks if path[: -len(mask_suffix)] in stems}
    return [path for path in images if path not in masks]


class FileFinder:
    """Look files up by listing each folder once instead of asking for each file."""

    def __init__(self) -> None:
        self._names: dict[str, set[str]] = {}
        self._forms: dict[str, dict[str, str]] = {}

    def exists(self, path: str) -> bool:
        """Tell whether there is a file of exactly this name."""
        return osp.basename(path) in self._listing(osp.dirname(path))

    def find(self, path: str) -> str | None:
        """Return a file's path as it is on the disk, or None.

        Exactly this name comes first; then the same letters in another Unicode form (``é`` as one
        character or as two, as macOS writes it), then backslashes as slashes.
        """
        if self.exists(path):
            return path
        for candidate in dict.fromkeys((path, path.replace('\\', '/'))):
            found = self._in_another_form(candidate)
            if found is not None:
                return found
        return None

    def find_image(
        self, path: str, label_path: str | None, suffixes: Sequence[str] = IMAGE_SUFFIXES
    ) -> str | None:
        """Return the image at ``path``, or its copy under another usual suffix, or None.

        The images of CamVid are PNGs and many copies of them are JPEGs: one list serves both.
        """
        found = self.find(path)
        if found is not None:
            return found
        known = (*suffixes, *IMAGE_SUFFIXES)
        # A bare name may have dots.
        stem = without_suffix(path, known) if suffix_of(path, known) else path
        for suffix in suffixes:
            for candidate in (stem + suffix, stem + suffix.upper()):
                # A mask beside its missing image differs from it by nothing but the suffix.
                if candidate != label_path and (found := self.find(candidate)) is not None:
                    return found
        return None

    def hint(self, path: str) -> str:
        """Name the file that is there in place of a missing one: it differs in case or form."""
        folder, name = osp.split(path)
        folder = folder if osp.isdir(folder) else self._in_another_form(folder) or folder
        name = unicodedata.normalize('NFC', name)
        for other in sorted(self._listing(folder)):
            form = unicodedata.normalize('NFC', other)
            if form == name:
                return (
                    f'; there is {other}, whose letters are written in another Unicode form, as '
                    'macOS does: rename it, or use a ListDataset, which finds it'
                )
            if form.casefold() == name.casefold():
                return f'; there is {other}, which differs in upper and lower case'
        return ''

    def _in_another_form(self, path: str) -> str | None:
        folder, name = osp.split(path)
        if not name:
            return None
        if folder and not osp.isdir(folder):
            found = self._in_another_form(folder)
            if found is None:
                return None
            folder = found
        if folder not in self._forms:
            self._forms[folder] = {
                unicodedata.normalize('NFC', there): there for there in self._listing(folder)
            }
        if name not in self._listing(folder):
            name = self._forms[folder].get(unicodedata.normalize('NFC', name))
        return None if name is None else osp.join(folder, name)

    def _listing(self, folder: str) -> set[str]:
        if folder not in self._names:
            there = folder or '.'
            self._names[folder] = set(os.listdir(there)) if osp.isdir(there) else set()
        return self._names[folder]
