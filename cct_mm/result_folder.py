"""Folders of what a network has made of images: of one recipe each, with whole files only."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cct_mm.files import write_atomically


def network_settings(model: Mapping[str, Any], checkpoint: str | os.PathLike) -> dict[str, Any]:
    """Return what results depend on because of the network that makes them.

    Args:
        model: Config of the network, without the file from which its encoder once started.
        checkpoint: Path of its checkpoint.
    """
    network = {key: value for key, value in model.items() if key != 'data_preprocessor'}
    return {
        'checkpoint': _digest(Path(checkpoint).read_bytes()),
        'network': _digest(json.dumps(network, sort_keys=True, default=str).encode()),
        'data_preprocessor': model.get('data_preprocessor'),
    }


def _digest(content: bytes) -> str:
    return f'sha256 {hashlib.sha256(content).hexdigest()}'


class ResultFolder:
    """A folder that results are written to; a kind of results derives from it.

    Each process keeps files in a subfolder of its own until they are whole. A later start removes
    what is left in the subfolders of its own rank and of ranks that no longer exist.

    Args:
        path: The folder.
        settings: What the files depend on. It is kept beside them as JSON, so that one folder
            never holds files of two recipes.
        rank: Rank of this process.
        world_size: Number of processes.

    Raises:
        ValueError: If the folder holds files of other settings, or files of unknown origin.
    """

    WHAT: str
    """What the results are, for messages."""

    SETTINGS: str
    """Name of the file with the settings."""

    RESULTS: tuple[str, ...]
    """Patterns of what the folder must not hold without settings."""

    OPTION = '--out'
    """Where the folder is named, for messages."""

    START_OVER = 'remove the folder'
    """How to get rid of the results of other settings, for messages."""

    def __init__(
        self, path: str | os.PathLike, settings: dict, rank: int = 0, world_size: int = 1
    ) -> None:
        self.path = Path(path)
        self.unfinished = self.path / f'.unfinished-{rank}'
        there = self.path / self.SETTINGS
        settings = as_in_json(settings)
        if there.is_file():
            if (found := json.loads(there.read_text(encoding='utf-8'))) != settings:
                raise ValueError(
                    f'{self.path} holds {self.WHAT} of other settings:\n'
                    f'{difference(found, settings)}\nexpected the same settings: one folder '
                    f'holds one recipe; choose another {self.OPTION}, or {self.START_OVER}'
                )
        else:
            self._check_unknown()
        for left in self.path.glob('.unfinished-*'):
            number = left.name.removeprefix('.unfinished-')
            # Other ranks of this run use theirs.
            if number == str(rank) or (number.isdecimal() and int(number) >= world_size):
                shutil.rmtree(left, ignore_errors=True)
        self.unfinished.mkdir(parents=True)
        write_atomically(there, json.dumps(settings, indent=2) + '\n')

    def _check_unknown(self) -> None:
        found = next((file for glob in self.RESULTS for file in self.path.glob(glob)), None)
        if found is not None:
            raise ValueError(
                f'{self.path} holds {found.relative_to(self.path)}, but no {self.SETTINGS}, '
                'expected an empty or new folder: nothing of yours is overwritten; choose another '
                f'{self.OPTION}'
            )

    def file(self, name: str) -> Path:
        """Return the path of a result."""
        return self.path / name

    def has(self, name: str) -> bool:
        """Tell whether a result is there; a power failure can leave empty files."""
        file = self.file(name)
        return file.is_file() and file.stat().st_size > 0

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole or not at all.

        Raises:
            OSError: If it cannot be written, for example because the disk is full.
        """
        with self.whole(name) as unfinished:
            unfinished.write_bytes(content)

    @contextmanager
    def whole(self, name: str) -> Iterator[Path]:
        """Let a file be written under another name, which then becomes its own.

        Args:
            name: The file.

        Yields:
            Where to write; the name ends as the file's.

        Raises:
            OSError: If it cannot be written, for example because the disk is full.
        """
        target = self.file(name)
        unfinished = self.unfinished / f'{os.getpid()}{target.suffix}'
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            yield unfinished
            os.replace(unfinished, target)
        except OSError as error:
            raise OSError(
                error.errno,
                f'{target} could not be written ({error.strerror}); every file before it is whole: '
                'make room, and run the same command again to go on',
            ) from None
        finally:
            unfinished.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove this process's subfolder of unfinished files."""
        shutil.rmtree(self.unfinished, ignore_errors=True)


def as_in_json(settings: dict) -> dict:
    """Return settings in the form in which they come back from a file: JSON has no tuples."""
    return json.loads(json.dumps(settings, default=str))


def difference(found: dict, wanted: dict) -> str:
    """Say which of the settings of a folder differ from those that are wanted."""
    keys = [key for key in {**found, **wanted} if found.get(key) != wanted.get(key)]
    return '\n'.join(f'  {key}: {found.get(key)}, now {wanted.get(key)}' for key in keys)
