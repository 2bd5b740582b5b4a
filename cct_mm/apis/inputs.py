"""The images to predict on: files, folders, patterns, videos and arrays."""

import glob
import math
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from cct_mm.datasets.file_finder import IMAGE_SUFFIXES, suffix_of, walk_folder, without_suffix

VIDEO_SUFFIXES = ('.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v', '.mpg', '.mpeg', '.wmv')
"""Names of files that are taken for videos end so, in either case."""

FRAMES_PER_SECOND = 25.0
"""Of a video that does not say it."""

Source = str | os.PathLike | np.ndarray
"""A path, a pattern, or the pixels of an image."""


@dataclass(frozen=True, eq=False)
class Item:
    """One image to predict on.

    Args:
        name: Name of its results, without suffix.
        image: Its path, or its pixels, BGR, [H, W, 3], uint8.
        source: What it is called.
    """

    name: str
    image: str | np.ndarray
    source: str


@dataclass(frozen=True, eq=False)
class Input:
    """One image, or one video of many.

    Args:
        name: Name of its results; that of a video keeps its suffix, so that the folder of its
            frames differs from a folder of images.
        image: Absolute path of the image or video, or the pixels of an image.
    """

    name: str
    image: str | np.ndarray

    @property
    def is_video(self) -> bool:
        """Whether it has frames."""
        return isinstance(self.image, str) and suffix_of(self.image, VIDEO_SUFFIXES) is not None

    @property
    def source(self) -> str:
        """What it is called."""
        return self.image if isinstance(self.image, str) else self.name

    def identity(self, number: int = 0) -> tuple[str, str]:
        """Return ``name`` and ``source`` of its item, or of the item of a frame."""
        if not self.is_video:
            return self.name, self.source
        return f'{self.name}/{number:06d}', f'frame {number} of {self.source}'

    def items(self) -> Iterator[Item]:
        """Yield the image, or each frame of the video while it is read.

        Raises:
            ValueError: If a video cannot be read, or ends before it should.
        """
        images = frames(self.image) if self.is_video else [self.image]
        for number, image in enumerate(images):
            name, source = self.identity(number)
            yield Item(name, image, source)

    def count(self) -> int:
        """Return how many items to expect; a video may say a wrong number."""
        return max(1, video_length(self.image)[0]) if self.is_video else 1


def video_length(path: str) -> tuple[int, float]:
    """Return the number of frames of a video and how many make a second, as far as it says so."""
    with _opened(path) as video:
        count, rate = video.get(cv2.CAP_PROP_FRAME_COUNT), video.get(cv2.CAP_PROP_FPS)
    rate = rate if math.isfinite(rate) and rate > 0 else FRAMES_PER_SECOND
    return (int(count) if count > 0 else 0), rate


def frames(path: str) -> Iterator[np.ndarray]:
    """Yield the frames of a video, BGR, [H, W, 3], uint8.

    Raises:
        ValueError: If there is none, or if more than the last second cannot be read.
    """
    expected, rate = video_length(path)
    number = 0
    with _opened(path) as video:
        while True:
            read, frame = video.read()
            if not read:
                break
            yield frame
            number += 1
    # The length of some videos is only estimated.
    if not number or number < expected - rate:
        raise ValueError(
            f'video {path} can be read up to frame {number} of {expected or "none"}, expected a '
            'whole video of a format that OpenCV reads; copy it again, or convert it to MP4'
        )


@contextmanager
def _opened(path: str) -> Iterator[cv2.VideoCapture]:
    video = cv2.VideoCapture(path)
    try:
        yield video
    finally:
        video.release()


def find_inputs(sources: Sequence[Source], outside: str | os.PathLike | None = None) -> list[Input]:
    """Find all images and videos, each once, in the order in which they are given.

    Args:
        sources: Files, folders (recursively, without hidden files), patterns such as
            ``'trips/*/front_*.jpg'``, or arrays. A file is a video by its suffix.
        outside: Folder whose files are left out: the results of an earlier run.

    Returns:
        Inputs whose names are their paths below the deepest folder that holds all files and
        folders given, without suffix. Files that differ in their suffix alone keep it.

    Raises:
        ValueError: If a source does not exist, matches nothing or holds nothing, or nothing
            remains.
    """
    found: dict[str, str | np.ndarray] = {}
    folders = set()
    for i, source in enumerate(sources):
        if isinstance(source, np.ndarray):
            found[f'array-{i}'] = source
            continue
        for folder, path in _files(os.fspath(source)):
            if outside is None or not _is_below(path, outside):
                path = os.path.abspath(path)
                found[path] = path
                folders.add(os.path.abspath(folder))
    if not found:
        raise ValueError(
            'there is no image or video, expected some that are not in the folder of the results'
        )
    root = os.path.commonpath(folders) if folders else ''
    return _named(found, root)


def _files(source: str) -> list[tuple[str, str]]:
    """Return the files that a source stands for, each with the folder that was given."""
    if os.path.exists(source):
        matches = [source]
    else:
        matches = sorted(glob.glob(source, recursive=True))
    files = [(os.path.dirname(match), match) for match in matches if os.path.isfile(match)]
    for folder in filter(os.path.isdir, matches):
        below = walk_folder(folder, IMAGE_SUFFIXES + VIDEO_SUFFIXES)
        files += [(folder, os.path.join(folder, path)) for path in below]
    if not files:
        found = 'holds no image or video' if matches else 'does not exist'
        raise ValueError(
            f'{source} {found}, expected an image, a video, a folder that holds some '
            f'({" ".join(IMAGE_SUFFIXES + VIDEO_SUFFIXES)}), or a pattern that matches some, such '
            'as "photos/*.jpg"'
        )
    return files


def _is_below(path: str, folder: str | os.PathLike) -> bool:
    return Path(os.path.realpath(folder)) in Path(os.path.realpath(path)).parents


def _named(found: dict[str, str | np.ndarray], root: str) -> list[Input]:
    full = {
        key: key if isinstance(image, np.ndarray) else Path(os.path.relpath(key, root)).as_posix()
        for key, image in found.items()
    }
    videos = {name for name in full.values() if suffix_of(name, VIDEO_SUFFIXES)}
    short = {
        key: name if name in videos else without_suffix(name, IMAGE_SUFFIXES)
        for key, name in full.items()
    }
    count = Counter(short.values())
    names = {key: name if count[name] == 1 else full[key] for key, name in short.items()}
    return [Input(names[key], image) for key, image in found.items()]
