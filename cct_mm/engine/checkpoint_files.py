"""Checkpoints as files: written whole or not at all, and found again whichever of them are whole.

A file is written under another name beside its place, brought to the disk, and only then renamed:
whenever the process dies, the name stands for the old content or for the new one.
"""

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

POINTER = 'last_checkpoint'
"""The file of a work dir that names its newest checkpoint; mmengine's name for it."""

_UNFINISHED = '.unfinished'
_NUMBERED = re.compile(r'(?:iter|epoch)_(\d+)\.pth')


class CheckpointError(ValueError):
    """A checkpoint cannot be written, read or gone on from; the message says what to do."""


@dataclass(frozen=True)
class Found:
    """Which checkpoint of a work dir to go on with.

    Args:
        path: The newest whole one.
        damaged: Those that should have come before it, and what is wrong with each.
    """

    path: Path
    damaged: dict[Path, str] = field(default_factory=dict)

    @property
    def warning(self) -> str:
        """A sentence on the damaged ones; empty where there are none."""
        if not self.damaged:
            return ''
        reasons = '; '.join(f'{path} {reason}' for path, reason in self.damaged.items())
        return f'{reasons}: damaged, so the one before is taken, {self.path}'


def write_durably(path: str | os.PathLike, data: bytes) -> None:
    """Write a file so that at any moment its name stands for its old or its whole new content.

    When this returns, the content survives a loss of power too.

    Args:
        path: The file; its folder exists.
        data: Its content.

    Raises:
        CheckpointError: The system does not take it, such as a full disk. What was there before is
            as it was, and nothing else is left.
    """
    path = Path(path)
    unfinished = path.with_name(f'.{path.name}{_UNFINISHED}')
    try:
        with open(unfinished, 'wb') as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
        _sync_folder(path.parent)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
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


def _sync_folder(folder: Path) -> None:
    # A rename is a change of the folder, which has to reach the disk as well.
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_unfinished(folder: str | os.PathLike) -> None:
    """Remove what a process left that died in :func:`write_durably`."""
    for path in Path(folder).glob(f'.*{_UNFINISHED}'):
        path.unlink(missing_ok=True)


def damage(path: str | os.PathLike) -> str | None:
    """Say what is wrong with a checkpoint file, None where it is whole.

    PyTorch does not compare the checksums of its files when it reads them: a flipped bit in the
    weights would pass for a weight.

    Args:
        path: The file, which exists, as ``torch.save`` writes it (a ZIP archive).
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
        # Whole, and for the reader to judge.
        pass
    # What damaged headers lead to: no archive, methods and encryption that nobody used.
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        OSError,
        RuntimeError,
        ValueError,
    ) as error:
        return f'is cut off or overwritten ({str(error).splitlines()[0]})'
    return None


def newest_checkpoint(
    work_dir: str | os.PathLike, folder: str | os.PathLike | None = None
) -> Found | None:
    """Find the newest whole checkpoint of a training.

    ``last_checkpoint`` says which is the newest, by its name alone: a work dir that was copied or
    renamed has its own. Where it names none of the folder, the one of the highest iteration is the
    newest.

    Args:
        work_dir: Work dir of the training.
        folder: Where its checkpoints are (``out_dir`` of a ``CheckpointHook``). Default: the work
            dir itself.

    Returns:
        None where there is no checkpoint at all.

    Raises:
        CheckpointError: There are some, and none is whole.
    """
    folder = Path(work_dir if folder is None else folder)
    numbers = numbered_checkpoints(folder)
    order = sorted(numbers, key=numbers.get, reverse=True)
    named = _named(work_dir, folder)
    if named is not None:
        # Higher ones are of a run before this one, or were written as the process died.
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
    """Return the checkpoints of a folder that a training could go on with, and their iterations."""
    folder = Path(folder)
    matches = {path: _NUMBERED.fullmatch(path.name) for path in folder.glob('*.pth')}
    return {path: int(match[1]) for path, match in matches.items() if match and path.is_file()}


def _named(work_dir: str | os.PathLike, folder: Path) -> Path | None:
    try:
        text = (Path(work_dir) / POINTER).read_text(encoding='utf-8', errors='replace')
    except OSError:
        return None
    # Windows' separators, for a folder that comes from there.
    name = re.split(r'[/\\]', text.strip())[-1]
    # Not Path.is_file, which fails on rubbish that is too long for a name.
    return folder / name if name and os.path.isfile(folder / name) else None


def require_writable(folder: str | os.PathLike, option: str) -> None:
    """Check that files can be written to a folder, which is made where it is missing.

    Args:
        folder: The folder.
        option: The option that chooses another, for the error.

    Raises:
        CheckpointError: If not.
    """
    try:
        os.makedirs(folder, exist_ok=True)
        # Not os.access: it knows nothing of disks that are mounted to be read only.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CheckpointError(
            f'{folder}: nothing can be written there ({error.strerror}), expected a folder for '
            f'what this run leaves behind; choose another with {option}'
        ) from error


def keep_others_out(folder: str | os.PathLike) -> None:
    """Hold a folder until this process ends, so that no other training of this host writes there.

    Where a file system cannot say whether somebody holds a folder, such as NFS, nothing is done.

    Args:
        folder: The folder, which exists.

    Raises:
        CheckpointError: Another process holds it.
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
    # A loader's workers outlive a killed training by seconds, and hold what it has opened.
    os.register_at_fork(after_in_child=release)
