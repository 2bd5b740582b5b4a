"""Lists of files: text files with one sample per line.

A line is ``image label``, or just ``image`` where there is no mask. Fields are separated by blanks,
or by one tab where a path itself contains blanks. Empty lines and lines that start with ``#`` are
skipped. The text is in UTF-8, or in UTF-16 or UTF-32 with a byte order mark.
"""

import codecs
import os
import os.path as osp
import posixpath
import re
from collections.abc import Iterable
from pathlib import Path

from .file_finder import IMAGE_SUFFIXES, suffix_of

Entry = tuple[str, str | None]
"""One sample: the path of the image and that of its label, or None where there is no mask."""


def read_file_list(
    path: str | os.PathLike, labeled: bool | None = None, names: bool = False
) -> list[Entry]:
    """Read a list of samples.

    Args:
        path: The text file; see the module's docstring for its format.
        labeled: True demands a label on every line. False drops the labels that there are. None
            takes the list as it is: all lines with a label, or all without.
        names: Whether a line may be the bare name of an image, without suffix, as in mmseg's lists.

    Returns:
        ``(image, label)`` for each line, in the file's order; ``label`` is None without a mask.

    Raises:
        FileNotFoundError: If there is no such list.
        ValueError: If the list is no text or is empty, a line is malformed, an image is listed
            twice, or a line has no label where one is needed.
    """
    path = os.fspath(path)
    if not osp.isfile(path):
        raise FileNotFoundError(
            f'list {path} does not exist; check ann_file and data_root, or write lists with '
            f'tools/make_splits.py'
        )
    entries: list[Entry] = []
    first_line: dict[str, int] = {}
    # Not splitlines: it also takes characters for the end of a line that a name may contain.
    for number, line in enumerate(re.split(r'\r\n|\r|\n', read_text(path)), start=1):
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
        _check_label(image, label, where, labeled, entries)
        first_line[same] = number
        entries.append((image, None if labeled is False else label))
    if not entries:
        raise ValueError(f'{path} is empty, expected one "image label" or "image" per line')
    return entries


def _check_label(
    image: str, label: str | None, where: str, labeled: bool | None, before: list[Entry]
) -> None:
    """Refuse a line without a label where one is needed, or with one where none is expected."""
    as_before = before[0][1] is not None if before else label is not None
    if label is None and (labeled or (labeled is None and as_before)):
        raise ValueError(
            f'{where}: {image} has no label, expected "image label" on every line of a '
            f'labeled list; add its mask, or move the line to an unlabeled list'
        )
    if label is not None and labeled is None and not as_before:
        raise ValueError(
            f'{where}: {image} has a label but the lines before it have none; expected labels '
            f'on all lines or on none, split the list into a labeled and an unlabeled one'
        )


_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, 'utf-8-sig'),
    # Before UTF-16, because the mark of UTF-32 begins with that of UTF-16.
    (codecs.BOM_UTF32_LE, 'utf-32'),
    (codecs.BOM_UTF32_BE, 'utf-32'),
    (codecs.BOM_UTF16_LE, 'utf-16'),
    (codecs.BOM_UTF16_BE, 'utf-16'),
)


def read_text(path: str | os.PathLike) -> str:
    """Read a text in UTF-8, or in UTF-16 or UTF-32 with a byte order mark.

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
            f'{path}, line {line}: byte {error.start} is {content[error.start]:#04x}, which is not '
            f'{encoding.upper()}, expected a text in UTF-8; convert it, e.g. from the encoding of '
            f'Western Windows: iconv -f CP1252 -t UTF-8 {osp.basename(path)} > new.txt'
        ) from None
    if '\0' in text:
        line = text.count('\n', 0, text.index('\0')) + 1
        raise ValueError(
            f'{path}, line {line}: it holds a NUL character, expected a text in UTF-8; if it is in '
            f'UTF-16, convert it: iconv -f UTF-16LE -t UTF-8 {osp.basename(path)} > new.txt'
        )
    return text


def _parse_line(line: str, where: str, names: bool) -> Entry:
    line = line.lstrip(' \t').rstrip(' ')
    fields = [f.strip(' ') for f in line.split('\t')] if '\t' in line else re.split(' +', line)
    while len(fields) > 2 and not fields[-1]:
        fields.pop()
    image, label = (*fields, '')[:2]
    if names and len(fields) == 1 and not suffix_of(image):
        return image, None
    if len(fields) > 2 or not suffix_of(image) or (label and not suffix_of(label)):
        raise ValueError(
            f'{where}: found "{line.strip()}", expected "image label" or "image", both paths of '
            f'image files ({" ".join(IMAGE_SUFFIXES)}); where a path holds blanks, end the image '
            f'with a tab'
        )
    return image, label or None


def format_file_list(entries: Iterable[Entry]) -> str:
    """Write entries as the text of a list, the inverse of :func:`read_file_list`.

    Args:
        entries: ``(image, label)`` pairs; where the label is None, the image stands alone.

    Returns:
        One line for each entry, each with its newline.

    Raises:
        ValueError: If a path cannot stand in a list.
    """
    return ''.join(_format_entry(image, label) + '\n' for image, label in entries)


def _format_entry(image: str, label: str | None) -> str:
    for path in (image, label or image):
        if re.search(r'[\t\r\n\0]', path) or path != path.strip(' ') or not suffix_of(path):
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
