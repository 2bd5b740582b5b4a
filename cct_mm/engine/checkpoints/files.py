"""Write the files of a training, and find its newest whole checkpoint."""

import errno
import fcntl
import os
import pickle
import re
import tempfile
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import torch

from cct_mm.files import write_atomically

POINTER = 'last_checkpoint'
"""Name of the file in a work dir that names the newest checkpoint; it is mmengine's."""

_NUMBERED = re.compile(r'(?:iter|epoch)_(\d+)\.pth')


class CheckpointError(ValueError):
    """Say why a checkpoint cannot be written, read or resumed from, and what to do."""


@dataclass(frozen=True)
class Found:
    """The checkpoint of a work dir to resume from.

    Args:
        path: The newest whole checkpoint.
        damaged: Newer checkpoints that are damaged, and what is wrong with each.
    """

    path: Path
    damaged: dict[Path, str] = field(default_factory=dict)

    @property
    def warning(self) -> str:
        """A sentence about the damaged checkpoints; empty if there are none."""
        if not self.damaged:
            return ''
        reasons = '; '.join(f'{path} {reason}' for path, reason in self.damaged.items())
        return f'{reasons}: damaged, so the one before is taken, {self.path}'


def write_durably(path: str | os.PathLike, data: bytes) -> None:
    """Write a file of a training, see :func:`~cct_mm.files.write_atomically`.

    Args:
        path: The file.
        data: Its content.

    Raises:
        CheckpointError: If the system refuses, for example because the disk is full. The old
            content is unchanged, and nothing else is left.
    """
    try:
        write_atomically(path, data, durable=True)
    except OSError as error:
        raise CheckpointError(
            f'{path} could not be written ({error.strerror}; {len(data) / 2**20:.1f} MiB): '
            f'files that were written before it are whole; {_remedy(error)}, then go on with '
            '--resume'
        ) from error


def _remedy(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return 'make room for it'
    if error.errno == errno.EFBIG:
        return 'allow larger files (ulimit -f)'
    return 'look at what is in its place, and whether the disk is still there'


def damage(path: str | os.PathLike) -> str | None:
    """Say what is wrong with a checkpoint file; return None if it is whole.

    PyTorch does not compare the checksums of its files when it reads them, so a flipped bit would
    become part of a weight.

    Args:
        path: An existing file as ``torch.save`` writes it (a ZIP archive).
    """
    if os.path.getsize(path) == 0:
        return 'is empty'
    try:
        with zipfile.ZipFile(path) as archive:
            if wrong := archive.testzip():
                return f'holds other bytes than were written, in its part {wrong}'
        # Python and PyTorch forgive other mistakes in an archive's table of contents.
        torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except pickle.UnpicklingError:
        # The file is whole; whether its content is safe is decided by who reads it.
        pass
    # Damaged headers also show as unknown compression methods or as encryption.
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
        return f'is cut off or overwritten ({str(error).splitlines()[0]})'
    return None


def newest_checkpoint(
    work_dir: str | os.PathLike, folder: str | os.PathLike | None = None
) -> Found | None:
    """Find the newest whole checkpoint of a training.

    The file ``last_checkpoint`` tells the newest one. Only the last part of its path counts, so
    that a work dir can be copied or renamed. If the folder has no such file, the checkpoint with
    the highest iteration is the newest.

    Args:
        work_dir: Work dir of the training.
        folder: Folder of its checkpoints (``out_dir`` of a ``CheckpointHook``). Default: the work
            dir.

    Returns:
        The checkpoint, or None if there is none.

    Raises:
        CheckpointError: If there are checkpoints, but none is whole.
    """
    folder = Path(work_dir if folder is None else folder)
    numbers = numbered_checkpoints(folder)
    order = sorted(numbers, key=numbers.get, reverse=True)
    named = _named(work_dir, folder)
    if named is not None:
        # Higher numbers belong to an earlier run, or were written just before the process died.
        newest = numbers.get(named, 0)
        others = [path for path in order if path != named]
        order = [named, *sorted(others, key=lambda path: numbers[path] > newest)]
    damaged = {}
    for path in order:
        reason = damage(path)
        if reason is None:
            return Found(path, damaged)
        damaged[path] = reason
    if damaged:
        reasons = '; '.join(f'{path.name} {reason}' for path, reason in damaged.items())
        raise CheckpointError(
            f'{folder} has no whole checkpoint to go on with: {reasons}. A new start would '
            'overwrite them: copy them here again, or move them away (or choose another '
            '--work-dir) to start anew'
        )
    return None


def numbered_checkpoints(folder: str | os.PathLike) -> dict[Path, int]:
    """Return the checkpoints from which a training could resume, with their iterations."""
    folder = Path(folder)
    matches = {path: _NUMBERED.fullmatch(path.name) for path in folder.glob('*.pth')}
    return {path: int(match[1]) for path, match in matches.items() if match and path.is_file()}


def _named(work_dir: str | os.PathLike, folder: Path) -> Path | None:
    try:
        text = (Path(work_dir) / POINTER).read_text(encoding='utf-8', errors='replace')
    except OSError:
        return None
    # A folder that was copied from Windows has its separators.
    name = re.split(r'[/\\]', text.strip())[-1]
    # Path.is_file would raise if damaged content is too long for a file name.
    return folder / name if name and os.path.isfile(folder / name) else None


def require_writable(folder: str | os.PathLike, option: str) -> None:
    """Check that files can be written into a folder, and make it if it is missing.

    Args:
        folder: The folder.
        option: The command line's option that chooses another folder; the error names it.

    Raises:
        CheckpointError: If no file can be written there.
    """
    try:
        os.makedirs(folder, exist_ok=True)
        # os.access does not notice disks that are mounted read-only.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CheckpointError(
            f'{folder}: nothing can be written there ({error.strerror}), expected a folder for '
            f'what this run leaves behind; choose another with {option}'
        ) from error


def keep_others_out(folder: str | os.PathLike) -> None:
    """Lock a folder until this process ends, so that no other training on this host writes there.

    File systems without locks, such as some NFS mounts, are left unlocked.

    Args:
        folder: An existing folder.

    Raises:
        CheckpointError: If another process has locked it.
    """
    held = [os.open(folder, os.O_RDONLY)]

    def release() -> None:
        if held:
            os.close(held.pop())

    try:
        fcntl.flock(held[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        release()
        raise CheckpointError(
            f'{folder} is in use by another training, expected it free; wait for that one, end it, '
            'or choose another --work-dir'
        ) from None
    except OSError:
        release()
    # A loader's workers outlive a killed training by seconds, and would keep the lock.
    os.register_at_fork(after_in_child=release)
