"""Write files whole or not at all."""

import contextlib
import os
import tempfile
from pathlib import Path

UNFINISHED = '.unfinished'
"""End of the name of a file that :func:`write_atomically` is writing durably."""


def write_atomically(path: str | os.PathLike, content: str | bytes, durable: bool = False) -> None:
    """Write a file whole or not at all.

    The content is written under another name in the same folder, and the file is renamed only when
    it is complete. If the process dies, the name stands for the old content or for the new content.

    Args:
        path: The file; its folder is made if it is missing.
        content: Text, which is written as UTF-8 with its line ends unchanged, or bytes.
        durable: Whether to wait until the disk has the content, so that it also survives a loss of
            power. A process that dies meanwhile leaves a file for :func:`remove_unfinished`.

    Raises:
        OSError: If the system refuses. The old content is unchanged, and nothing else is left.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    # In the same folder, because os.replace is atomic only within one file system.
    handle, temporary = tempfile.mkstemp(
        prefix=f'.{path.name}.', suffix=UNFINISHED if durable else '', dir=path.parent
    )
    try:
        with os.fdopen(handle, 'wb') as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        # mkstemp makes files that only their owner can read.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
        if durable:
            _sync_folder(path.parent)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _sync_folder(folder: Path) -> None:
    # A rename changes the folder, and this change has to reach the disk too.
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_unfinished(folder: str | os.PathLike) -> None:
    """Remove the files of processes that died while they wrote durably into a folder."""
    for path in Path(folder).glob(f'.*{UNFINISHED}'):
        path.unlink(missing_ok=True)
