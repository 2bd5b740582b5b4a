"""Datasets that are lists of files or plain image folders.

A list is a text file with one sample a line, ``image label`` or just ``image`` where there is no
mask. Fields are separated by blanks, or by one tab where a path itself holds blanks. Empty lines
and lines that start with ``#`` are skipped. It is in UTF-8, or in UTF-16 or UTF-32 with a byte
order mark. An image folder needs no list at all: every image
below it is a sample, which is all that an unlabeled source has to offer.

Everything that can be wrong with such files is found when the dataset is built, before the first
iteration, and is reported with the dataset, the file and the fix.
"""

import codecs
import os
import os.path as osp
import posixpath
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from .checks.mask_names import check_no_masks

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.ppm')
"""Usual image suffixes, in the order in which they stand in for one another."""

Entry = tuple[str, str | None]
"""One sample: the image's path and its label's, or None where there is no mask."""


def read_file_list(
    path: str | os.PathLike, labeled: bool | None = None, names: bool = False
) -> list[Entry]:
    """Read a list of samples.

    Args:
        path: The text file; see the module's docstring for its format.
        labeled: True demands a label on every line. False drops the labels that there are. None
            takes the list as it is, either all lines with a label or all without.
        names: Whether a line may hold the bare name of an image, without suffix, as mmseg's lists
            do.

    Returns:
        ``(image, label)`` for each line, in the file's order; ``label`` is None without a mask.

    Raises:
        FileNotFoundError: There is no such list.
        ValueError: The list is no text, is empty, a line is malformed, an image stands there twice,
            or a line has no label where one is needed.
    """
    path = os.fspath(path)
    if not osp.isfile(path):
        raise FileNotFoundError(
            f'list {path} does not exist; check ann_file and data_root, or write lists with '
            f'tools/make_splits.py'
        )
    # Not splitlines: a name may hold what else that takes for the end of a line.
    lines = re.split(r'\r\n|\r|\n', read_text(path))

    entries: list[Entry] = []
    first_line: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith('#'):
            continue
        where = f'{path}, line {number}'
        image, label = _parse_line(line, where, names)
        same = posixpath.normpath(image.replace('\\', '/'))
        if same in first_line:
            raise ValueError(
                f'{where}: {image} is already on line {first_line[same]}; a list names every '
                f'image once, remove one of the two'
            )
        if labeled or (labeled is None and entries and entries[0][1] is not None):
            if label is None:
                raise ValueError(
                    f'{where}: {image} has no label, expected "image label" on every line of a '
                    f'labeled list; add its mask, or move the line to an unlabeled list'
                )
        elif labeled is None and entries and label is not None:
            raise ValueError(
                f'{where}: {image} has a label but the lines before it have none; expected labels '
                f'on all lines or on none, split the list into a labeled and an unlabeled one'
            )
        first_line[same] = number
        entries.append((image, None if labeled is False else label))
    if not entries:
        raise ValueError(f'{path} is empty, expected one "image label" or "image" a line')
    return entries


def read_text(path: str | os.PathLike) -> str:
    """Read a text in UTF-8, or in UTF-16 or UTF-32 that say so by their first bytes.

    Args:
        path: The file.

    Raises:
        ValueError: If it is in another encoding; the message names the first wrong byte.
    """
    content = Path(path).read_bytes()
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if content.startswith(mark)), 'utf-8')
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b'\n', 0, error.start) + 1
        raise ValueError(
            f'{path}, line {line}: byte {error.start} is {content[error.start]:#04x}, which is no '
            f'{encoding.upper()}, expected a text in UTF-8; convert it, e.g. from that of Western '
            f'Windows: iconv -f CP1252 -t UTF-8 {osp.basename(path)} > new.txt'
        ) from None
    if '\0' in text:
        line = text.count('\n', 0, text.index('\0')) + 1
        raise ValueError(
            f'{path}, line {line}: it holds a NUL character, expected a text in UTF-8; is it one '
            f'in UTF-16? convert it: iconv -f UTF-16LE -t UTF-8 {osp.basename(path)} > new.txt'
        )
    return text


_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, 'utf-8-sig'),
    # Before UTF-16, whose mark is how that of UTF-32 begins.
    (codecs.BOM_UTF32_LE, 'utf-32'),
    (codecs.BOM_UTF32_BE, 'utf-32'),
    (codecs.BOM_UTF16_LE, 'utf-16'),
    (codecs.BOM_UTF16_BE, 'utf-16'),
)


def _parse_line(line: str, where: str, names: bool) -> Entry:
    line = line.lstrip(' \t').rstrip(' ')
    fields = [f.strip(' ') for f in line.split('\t')] if '\t' in line else re.split(' +', line)
    while len(fields) > 2 and not fields[-1]:
        fields.pop()
    image, label = (*fields, '')[:2]
    if names and len(fields) == 1 and not _is_image(image):
        return image, None
    if len(fields) > 2 or not _is_image(image) or (label and not _is_image(label)):
        raise ValueError(
            f'{where}: found "{line.strip()}", expected "image label" or "image", both paths of '
            f'image files ({" ".join(IMAGE_SUFFIXES)}); where a path holds blanks, end the image '
            f'with a tab'
        )
    return image, label or None


def _is_image(path: str, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> bool:
    return _suffix_of(path, suffixes) is not None


def _suffix_of(path: str, suffixes: Sequence[str]) -> str | None:
    """The end of a path that is one of the suffixes, in either case; the longest that fits.

    A name that is nothing but the suffix, such as ``.jpg``, is a hidden file without one.
    """
    name = osp.basename(path)
    fitting = [s for s in suffixes if name.lower().endswith(s.lower()) and len(name) > len(s)]
    length = max(map(len, fitting), default=0)
    return path[len(path) - length :] if length else None


def _without_suffix(path: str, suffixes: Sequence[str]) -> str:
    suffix = _suffix_of(path, suffixes)
    return osp.splitext(path)[0] if suffix is None else path[: -len(suffix)]


def format_file_list(entries: Iterable[Entry]) -> str:
    """The text of a list, the inverse of :func:`read_file_list`.

    Args:
        entries: ``(image, label)`` pairs; ``label`` None writes the image alone.

    Returns:
        One line for each entry, each with its newline.

    Raises:
        ValueError: If a path cannot stand in a list.
    """
    return ''.join(_format_entry(image, label) + '\n' for image, label in entries)


def _format_entry(image: str, label: str | None) -> str:
    for path in (image, label or image):
        if re.search(r'[\t\r\n\0]', path) or path != path.strip(' ') or not _is_image(path):
            raise ValueError(
                f'{path!r} cannot stand in a list, expected the path of an image file '
                f'({" ".join(IMAGE_SUFFIXES)}) without tabs, line ends and blanks around it; '
                'rename it'
            )
    if not image.strip() or image.lstrip().startswith(('#', '\ufeff')):
        raise ValueError(
            f'{image!r} cannot begin a line of a list, where it would be a comment; rename it, or '
            "put './' before it"
        )
    if ' ' in image or (label and ' ' in label):
        return f'{image}\t{label or ""}'
    return f'{image} {label}' if label else image


def list_image_folder(
    folder: str | os.PathLike,
    suffixes: Sequence[str] = IMAGE_SUFFIXES,
    mask_suffix: str | None = None,
) -> list[str]:
    """All images below a folder, the same list on every machine.

    Linked folders are followed, each real folder once. Hidden files and folders are left out:
    they are thumbnails and editors' leftovers (``._x.jpg``, ``.ipynb_checkpoints``).

    Args:
        folder: Where to look, recursively.
        suffixes: How names of images end, such as ``.jpg`` or ``_sat.jpg``, in either case.
        mask_suffix: How names of masks end, which are no images. One that is an image's suffix,
            too, such as ``.png``, tells masks only beside an image of the same stem. None: no
            name is that of a mask.

    Returns:
        Paths relative to ``folder`` with forward slashes, sorted.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: It holds no image, or masks lie among the images, see
            :func:`~cct_mm.datasets.checks.mask_names.check_no_masks`.
    """
    folder = os.fspath(folder)
    if not osp.isdir(folder):
        raise FileNotFoundError(
            f'image folder {folder} does not exist; check data_root and data_prefix'
        )
    images: list[str] = []
    visited: set[str] = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        real = osp.realpath(parent)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith('.'))
        images += [
            Path(osp.relpath(osp.join(parent, name), folder)).as_posix()
            for name in files
            if not name.startswith('.') and _is_image(name, suffixes)
        ]
    if mask_suffix is not None:
        images = _without_masks(images, suffixes, mask_suffix)
    if not images:
        raise ValueError(
            f'image folder {folder} holds no image, expected files with one of '
            f'{" ".join(suffixes)} in it or in its subfolders'
        )
    images.sort()
    try:
        check_no_masks(images)
    except ValueError as error:
        raise ValueError(f'image folder {folder}: {error}') from None
    return images


def _without_masks(images: list[str], suffixes: Sequence[str], mask_suffix: str) -> list[str]:
    is_mask = {path for path in images if _is_image(path, (mask_suffix,))}
    if mask_suffix.lower() in (suffix.lower() for suffix in suffixes):
        stems = {_without_suffix(path, suffixes) for path in images if path not in is_mask}
        is_mask = {path for path in is_mask if path[: -len(mask_suffix)] in stems}
    return [path for path in images if path not in is_mask]


class FileFinder:
    """Which files exist, by one directory listing a folder instead of one query a file."""

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

        CamVid's own images are PNGs, many copies are JPEGs: the same list serves both.
        """
        found = self.find(path)
        if found is not None:
            return found
        stem = _without_suffix(path, (*suffixes, *IMAGE_SUFFIXES))
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
                    'macOS does: rename it, or take a ListDataset, which finds it'
                )
            if form.casefold() == name.casefold():
                return f'; there is {other}, which differs in upper and lower case'
        return ''

    def _in_another_form(self, path: str) -> str | None:
        """A file or folder whose name differs in its Unicode form at most."""
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


@DATASETS.register_module()
class ListDataset(BaseSegDataset):
    """A segmentation dataset read from a list of files or from an image folder.

    With ``ann_file`` the samples are the lines of a list, see :func:`read_file_list`; its paths
    are relative to ``data_prefix`` (``data_root`` where that is not given). Without it they are
    the images below ``data_prefix['img_path']``, with masks of the same relative path and stem
    below ``data_prefix['seg_map_path']``, or without masks where that is not given. So it is with
    a list of images alone, too, whose lines may also be bare names, as mmseg's are: an image is
    then name + ``img_suffix``.

    Every file is looked up once, when the dataset is built. An image that is missing but is there
    with another usual suffix (``.png`` for ``.jpg``), or with its name in another Unicode form, is
    taken in its place. A folder that holds masks among its images is refused, unless
    ``img_suffix`` and ``seg_map_suffix`` tell them apart.

    A subclass for a dataset adds ``METAINFO`` and, where needed, ``DATASET_NAME``, ``VOID_LABELS``,
    ``LABEL_HINT`` and ``SOURCE_HINT``.

    Args:
        ann_file: The list, absolute, relative to ``data_root``, or, where it is not found there,
            to the working directory (lists of splits lie beside the configs, not the data).
        data_prefix: ``img_path`` and ``seg_map_path``, both optional, relative to ``data_root``.
        labeled: True demands a mask for every image. False never looks at masks, even where the
            list names them: an unlabeled source. None: labeled if the list or the folders are.
        img_suffix: Suffixes of images such as ``'.jpg'`` or ``'_sat.jpg'``, in the order in which
            they stand in for one another. By default the usual ones.
        seg_map_suffix: What a mask's name has in place of its image's suffix, such as
            ``'_mask.png'``; where it is given, a folder's files that end so are no images. Default:
            ``'.png'``.
        dataset_name: What errors call this dataset. Default: the class's ``DATASET_NAME``.
        check_files: False leaves missing files in, for a tool that names each of them.
        **kwargs: Arguments of :class:`mmseg.datasets.BaseSegDataset`.

    Raises:
        FileNotFoundError: The list, the folder, an image or a mask is missing.
        ValueError: The list is empty or malformed, or a labeled source has an image without mask.

    Example:
        >>> dataset = dict(
        ...     type='ListDataset', data_root='data/mine', ann_file='train.txt',
        ...     metainfo=dict(classes=('background', 'leaf')), pipeline=[])
        >>> unlabeled = dict(
        ...     type='ListDataset', data_root='data/mine', data_prefix=dict(img_path='video'))
    """

    DATASET_NAME: str = ''
    """What errors call the dataset; the class's name where empty."""
    VOID_LABELS: tuple[int, ...] = ()
    """Labels of the files, besides 255, that belong to no class: read as 255."""
    LABEL_HINT: str = ''
    """What to do about a label out of range; ends the error message."""
    SOURCE_HINT: str = ''
    """Where the data come from; ends the error about files that are missing."""

    def __init__(
        self,
        ann_file: str = '',
        data_prefix: dict[str, str] | None = None,
        labeled: bool | None = None,
        img_suffix: str | Sequence[str] = IMAGE_SUFFIXES,
        seg_map_suffix: str | None = None,
        dataset_name: str | None = None,
        check_files: bool = True,
        **kwargs,
    ) -> None:
        self.labeled = labeled
        self.check_files = check_files
        self.dataset_name = dataset_name or self.DATASET_NAME or type(self).__name__
        suffixes = (img_suffix,) if isinstance(img_suffix, str) else tuple(img_suffix)
        self._mask_suffix = seg_map_suffix
        if kwargs.get('data_root') is not None:
            kwargs['data_root'] = osp.expanduser(kwargs['data_root'])
        super().__init__(
            ann_file=osp.expanduser(ann_file),
            data_prefix={key: osp.expanduser(path) for key, path in (data_prefix or {}).items()},
            img_suffix=suffixes,
            seg_map_suffix='.png' if seg_map_suffix is None else seg_map_suffix,
            **kwargs,
        )

    @classmethod
    def get_label_map(cls, new_classes: Sequence[str] | None = None) -> dict[int, int] | None:
        """The map from labels of the files to class indices, void labels included.

        Args:
            new_classes: The classes in use, a subset of ``METAINFO['classes']`` in any order.

        Returns:
            For each label of the files that changes, its new value; None where none does.
        """
        label_map = super().get_label_map(new_classes) or {}
        return {**label_map, **dict.fromkeys(cls.VOID_LABELS, 255)} or None

    def _join_prefix(self) -> None:
        as_given = self.ann_file
        super()._join_prefix()
        if as_given and not osp.isfile(self.ann_file) and osp.isfile(as_given):
            self.ann_file = as_given

    def load_data_list(self) -> list[dict]:
        """Read the list or the folder and look every file up.

        Returns:
            A data info for each sample: mmseg's own keys and, for the checked loading,
            ``void_labels``, ``dataset_name``, ``label_hint`` and ``num_classes`` (None without
            classes).
        """
        try:
            entries = self._read_entries()
        except (FileNotFoundError, ValueError) as error:
            hint = self._source_hint() if isinstance(error, FileNotFoundError) else ''
            raise type(error)(f'{self.dataset_name}: {error}{hint}') from None
        entries = self._resolve(entries)

        classes = self._metainfo.get('classes')
        common = {
            'label_map': self.label_map,
            'void_labels': self.VOID_LABELS,
            'reduce_zero_label': self.reduce_zero_label,
            'num_classes': None if classes is None else len(classes),
            'dataset_name': self.dataset_name,
            'label_hint': self.LABEL_HINT,
        }
        data_list = []
        for image, label in entries:
            data_info = {'img_path': image, 'seg_fields': [], **common}
            if label is not None:
                data_info['seg_map_path'] = label
            data_list.append(data_info)
        return data_list

    def _read_entries(self) -> list[Entry]:
        if self.ann_file:
            # A list of images alone and a folder of labels, such as pseudo-labels: labels lie there
            # as the images do in theirs.
            beside = self.labeled is not False and bool(self.data_prefix.get('seg_map_path'))
            labeled = None if beside else self.labeled
            entries = read_file_list(self.ann_file, labeled, names=True)
            return self._with_masks(entries) if beside and entries[0][1] is None else entries
        images = list_image_folder(self._prefix('img_path'), self.img_suffix, self._mask_suffix)
        entries = [(image, None) for image in images]
        if self.labeled is False or 'seg_map_path' not in self.data_prefix:
            if self.labeled:
                raise ValueError(
                    f'image folder {self._prefix("img_path")} has no masks, expected '
                    f'data_prefix["seg_map_path"] for a labeled source'
                )
            return entries
        return self._with_masks(entries)

    def _with_masks(self, entries: list[Entry]) -> list[Entry]:
        return [
            (image, self._stem(image.replace('\\', '/')) + self.seg_map_suffix)
            for image, _ in entries
        ]

    def _stem(self, image: str) -> str:
        """What an image has in common with its mask; a bare name has it all."""
        if not _is_image(image, (*self.img_suffix, *IMAGE_SUFFIXES)):
            return image
        return _without_suffix(image, self.img_suffix)

    def _prefix(self, key: str) -> str:
        return self.data_prefix.get(key) or self.data_root or ''

    def _resolve(self, entries: list[Entry]) -> list[Entry]:
        """Full paths of all entries, every file of which exists."""
        finder = FileFinder()
        missing: dict[str, list[tuple[str, str]]] = {'image': [], 'mask': []}
        resolved: list[Entry] = []
        listed: dict[str, str] = {}
        for image, label in entries:
            asked = self._path('img_path', image)
            label_asked = None if label is None else self._path('seg_map_path', label)
            image_path = finder.find_image(asked, label_asked, self.img_suffix)
            label_path = None if label is None else self._find_mask(finder, label_asked)
            if not self.check_files:
                image_path, label_path = image_path or asked, label_path or label_asked
            if image_path is None:
                missing['image'].append((image, asked))
            elif label is not None and label_path is None:
                missing['mask'].append((label, label_asked))
            else:
                same = osp.normpath(image_path)
                if same in listed:
                    raise ValueError(
                        f'{self.dataset_name}: {self.ann_file}: {listed[same]} and {image} are the '
                        f'same file, {image_path}; a list names every image once, remove one of '
                        'the two'
                    )
                listed[same] = image
                resolved.append((image_path, label_path))
        for kind, key in (('image', 'img_path'), ('mask', 'seg_map_path')):
            if missing[kind]:
                hint = finder.hint(missing[kind][0][1])
                names = [name for name, _ in missing[kind]]
                self._raise_missing(kind, names, len(entries), self._prefix(key), hint)
        return resolved

    def _path(self, key: str, name: str) -> str:
        return osp.join(self._prefix(key), osp.expanduser(name))

    def _find_mask(self, finder: FileFinder, path: str) -> str | None:
        found = finder.find(path)
        if found is None and path.endswith(self.seg_map_suffix):
            # IMG.JPG goes with IMG.PNG.
            stem = path[: len(path) - len(self.seg_map_suffix)]
            found = finder.find(stem + self.seg_map_suffix.upper())
        return found

    def _raise_missing(
        self, kind: str, paths: list[str], total: int, folder: str, hint: str
    ) -> None:
        source = self.ann_file or self._prefix('img_path')
        fix = f'check data_root (now {self.data_root}) and the names in {source}'
        if osp.isabs(paths[0]) or re.match(r'[A-Za-z]:[\\/]', paths[0]):
            fix = f'{source} holds absolute paths, make them relative to data_root'
        elif ' ' in paths[0]:
            fix += '; a line with a tab holds one path before it, blanks and all'
        elif kind == 'mask':
            fix += ', or set labeled=False if these images have no masks'
        elif not _is_image(paths[0], (*self.img_suffix, *IMAGE_SUFFIXES)):
            fix = f'looked for {paths[0]} + {" or ".join(self.img_suffix)} (img_suffix); {fix}'
        raise FileNotFoundError(
            f'{self.dataset_name}: {kind} {paths[0]} not found in {folder or os.getcwd()} '
            f'({len(paths)} of {total} {kind}s missing){hint}; {fix}{self._source_hint()}'
        )

    def _source_hint(self) -> str:
        return f'; {self.SOURCE_HINT}' if self.SOURCE_HINT else ''
