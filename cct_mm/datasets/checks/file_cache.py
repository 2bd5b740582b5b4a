"""Keep what was found out about files on disk, until a file changes."""

import fcntl
import hashlib
import json
import os
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from cct_mm.files import write_atomically
from cct_mm.processes import core_count, map_files
from cct_mm.progress_bar import progress_bar

SECONDS_BETWEEN_SAVES = 30.0
"""How much work a run that is killed can lose."""

PATIENCE = 2.0
"""Seconds after which a progress bar appears."""

Stamp = list[list[int]]
"""The size in bytes and the time of the last change in nanoseconds of each file."""


def cache_folder() -> str | None:
    """Return ``$CCT_MM_CACHE``, by default ``~/.cache/cct_mm``; None for a user without a home."""
    if folder := os.environ.get('CCT_MM_CACHE'):
        return os.path.abspath(folder)
    home = os.path.expanduser('~')
    return os.path.join(home, '.cache', 'cct_mm') if os.path.isabs(home) else None


class FileCache:
    """Values that depend on one file, or on several, and on nothing else.

    A value is valid while each file keeps its size and its time of change. All values of a folder's
    files are in one file of the cache, written whole or not at all, with a checksum: a damaged one
    counts as empty. Of two processes that write at the same time one waits for the other; on a file
    system without locks it may lose what it has added, which is then found out again. ``kind`` is
    what is found out, with a version.
    """

    def __init__(self, kind: str) -> None:
        root = cache_folder()
        self.folder = None if root is None else os.path.join(root, kind)
        self._known: dict[str, dict[str, list]] = {}
        self._added: dict[str, dict[str, list]] = defaultdict(dict)

    def get(self, *files: str) -> Any:
        """Return what is known of files, or None."""
        folder, key = _place(files)
        if folder not in self._known:
            self._known[folder] = self._read(folder)
        found = self._added[folder].get(key) or self._known[folder].get(key)
        return found[1] if found and found[0] == stamp(files) else None

    def put(self, files: Sequence[str], changed: Stamp | None, value: Any) -> None:
        """Add a value that JSON can hold; :meth:`save` writes it.

        Args:
            files: As for :meth:`get`.
            changed: The :func:`stamp` of the files from before they were read; None adds nothing.
            value: Anything but None.
        """
        if changed is not None:
            folder, key = _place(files)
            self._added[folder][key] = [changed, value]

    def save(self) -> str | None:
        """Write what was added, and return why this failed, which ends no run, or None."""
        if self.folder is None:
            return 'there is no home directory'
        try:
            with self._locked():
                for folder, added in self._added.items():
                    if added:
                        # Read it again, because another process may have written since.
                        self._known[folder] = self._read(folder) | added
                        content = json.dumps([folder, self._known[folder]]).encode()
                        check = b'%08x\n' % zlib.crc32(content)
                        write_atomically(self._path(folder), check + content)
                        self._added[folder] = {}
        except OSError as error:
            return str(error)
        return None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one process at a time read, add and write, so that none loses what another adds."""
        os.makedirs(self.folder, exist_ok=True)
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            # A file system without locks is no reason to keep nothing.
            with suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _read(self, folder: str) -> dict[str, list]:
        if self.folder is None:
            return {}
        try:
            with open(self._path(folder), 'rb') as file:
                check, _, content = file.read().partition(b'\n')
        except OSError:
            return {}
        if check != b'%08x' % zlib.crc32(content):
            return {}
        of_folder, values = json.loads(content)
        return values if of_folder == folder else {}

    def _path(self, folder: str) -> str:
        name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:32]
        return os.path.join(self.folder, f'{name}.json')


class Problem(str):
    """Why something could not be found out about a file."""


Item = TypeVar('Item')


@dataclass
class Look:
    """Find out something about many files, in several processes, and keep it."""

    kind: str  # that of the FileCache
    title: str  # what the progress bar says
    workers: int | None = None  # number of processes; None: one for each core
    beat: Callable[[], None] = lambda: None  # called after each file
    say: Callable[[str], None] = print  # told if the cache cannot be written
    stderr: bool = False  # whether the progress bar goes to stderr

    def at_paths(self, paths: Sequence[str], function: Callable[[str], Any]) -> dict[str, Any]:
        """Return ``function(path)`` for each path, see :meth:`at`; a path may occur twice."""
        paths = list(dict.fromkeys(paths))
        return dict(zip(paths, self.at(paths, function), strict=True))

    def at(
        self,
        items: Sequence[Item],
        function: Callable[[Item], Any],
        files: Callable[[Item], Sequence[str]] = lambda item: (item,),
    ) -> list[Any]:
        """Return ``function(item)`` for each item, from the cache where it is there.

        Args:
            items: Paths, or things that have paths.
            function: What is found out, as JSON can hold it. An OSError, ValueError or MemoryError
                becomes a :class:`Problem`, which is not kept.
            files: The paths of an item: the result depends on these files alone.

        Raises:
            RuntimeError: If a process dies.
        """
        cache = FileCache(self.kind)
        found = [cache.get(*files(item)) for item in items]
        missing = [i for i, value in enumerate(found) if value is None]
        if not missing:
            return found
        jobs = [(function, items[i], files(items[i])) for i in missing]
        saved, problem = time.monotonic(), None
        try:
            with progress_bar(self.title, len(jobs), PATIENCE, self.stderr) as update:
                results = map_files(_look, jobs, self.workers or core_count())
                for done, (i, result) in enumerate(zip(missing, results, strict=True), start=1):
                    changed, found[i] = result
                    if not isinstance(found[i], Problem):
                        cache.put(files(items[i]), changed, found[i])
                    update(done)
                    self.beat()
                    if time.monotonic() - saved > SECONDS_BETWEEN_SAVES:
                        problem, saved = cache.save(), time.monotonic()
        finally:
            problem = cache.save() or problem
        if problem:
            self.say(
                f'{self.title} starts anew the next time, because its cache cannot be written '
                f'({problem}); name a folder for it in the environment variable CCT_MM_CACHE'
            )
        return found


def _look(job: tuple) -> tuple[Stamp | None, Any]:
    function, item, files = job
    # Taken before reading, so that a file that changes meanwhile is read again the next time.
    changed = stamp(files)
    try:
        return changed, function(item)
    except (OSError, ValueError, MemoryError) as error:
        return changed, Problem(str(error) or type(error).__name__)


def stamp(files: Sequence[str]) -> Stamp | None:
    """Return what tells whether files have changed; None if one of them does not exist."""
    try:
        found = [os.stat(file) for file in files]
    except (OSError, ValueError):
        return None
    return [[status.st_size, status.st_mtime_ns] for status in found]


def _place(files: Sequence[str]) -> tuple[str, str]:
    """Return the folder whose cache holds files, and their key in it."""
    paths = [os.path.abspath(file) for file in files]
    folder, name = os.path.split(paths[0])
    # No path contains the character 0.
    return folder, '\0'.join([name, *paths[1:]])
