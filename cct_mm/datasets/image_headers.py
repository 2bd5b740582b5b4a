"""What the files of images say of their pixels, read once for each file."""

from dataclasses import asdict

from .file_cache import Look, Problem
from .reading import Header, read_header

CACHE = 'headers-1'
"""Its number is raised with the fields of :class:`Header`."""


def read_headers(paths: list[str], **look) -> dict[str, Header | Problem]:
    """Read the headers of images, from the cache where they are known.

    Args:
        paths: The files, which may be there twice.
        **look: Arguments of :class:`Look` but the first two.

    Returns:
        The header of each file, or why it has none.

    Raises:
        RuntimeError: If a process dies.
    """
    paths = list(dict.fromkeys(paths))
    found = Look(CACHE, 'reading headers', **look).at(paths, _read)
    return {
        path: header if isinstance(header, Problem) else Header(**header)
        for path, header in zip(paths, found, strict=True)
    }


def _read(path: str) -> dict:
    return asdict(read_header(path))
