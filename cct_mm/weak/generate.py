"""Pseudo-labels of a whole dataset: processes read, refine and write beside the network."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch.utils.data import DataLoader

from cct_mm.labels import IGNORE_INDEX
from cct_mm.processes import leave_interrupts

from .images import Image, Images
from .pseudo_labels import Recipe
from .writer import Folder, LabelFiles

QUEUED_PER_WORKER = 4
"""How many images wait for each worker; more would only take memory."""


@dataclass
class Summary:
    """What a run did.

    Args:
        written: Number of images whose pseudo-labels were written.
        there: Number of images whose pseudo-labels existed before.
        problems: Path of each skipped image -> why it was skipped.
        pixels: Label, 255 included -> number of pixels.
        seconds: Part of the work -> its duration; the parts run in parallel.
        elapsed: Seconds from start to end.
    """

    written: int = 0
    there: int = 0
    problems: dict[str, str] = field(default_factory=dict)
    pixels: Counter = field(default_factory=Counter)
    seconds: Counter = field(default_factory=Counter)
    elapsed: float = 0.0


@dataclass(frozen=True)
class Finisher:
    """Turns the network's output into a label file, in a process beside the network.

    Args:
        recipe: Turns activation maps into labels.
        files: Encodes the label files.
        folder: Folder of the label files.
        has_background: Whether label 0 is background.
    """

    recipe: Recipe
    files: LabelFiles
    folder: Folder
    has_background: bool

    def labels(self, image: Image, output: np.ndarray) -> np.ndarray:
        """Return the pseudo-labels of an image.

        Shape:
            - output: activation maps of a classifier, [P, H, W], or labels of a segmentor, [H, W]
            - return: [H, W], uint8, 255 where a pixel has no label
        """
        rgb = image.pixels[..., ::-1]
        if output.ndim == 2:
            return self.recipe.refined(rgb, output)
        return self.recipe.labels(rgb, output, image.present, self.has_background, image.complete)

    def __call__(self, image: Image, output: np.ndarray) -> tuple[Counter, Counter]:
        """Write the pseudo-labels of an image; return its pixels by label, and the durations."""
        start = time.perf_counter()
        labels = self.labels(image, output)
        decided = time.perf_counter()
        self.folder.write(image.name, self.files.encode(labels, image.shown))
        written = time.perf_counter()
        values, counts = np.unique(labels, return_counts=True)
        pixels = Counter(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        return pixels, Counter({'CRF': decided - start, 'disk': written - decided})


class ImageError(ValueError):
    """An image cannot be read, has no image-level labels or is too large, and is not skipped."""


def generate(
    images: Images,
    network: Callable[[Image], np.ndarray],
    finish: Finisher,
    pool: ProcessPoolExecutor,
    workers: int,
    skip_problems: bool,
    progress: Callable[[Summary], None] = lambda summary: None,
) -> Summary:
    """Write the pseudo-labels of all images that have none yet, or had other image-level labels.

    A file depends on its image alone, so a command that was killed and called again leaves the
    same files as one that was not.

    Args:
        images: The images to label.
        network: As for :func:`work`.
        finish: Makes and writes the labels.
        pool: As for :func:`work`.
        workers: As for :func:`work`.
        skip_problems: As for :func:`work`.
        progress: Called whenever an image is done.

    Raises:
        ImageError: At the first image with a problem, unless such images are skipped.
        ValueError: If two images share a label file.
        OSError: If a file cannot be written.
    """
    start = time.perf_counter()
    names = images.names()
    folder = finish.folder
    missing = [
        index
        for item, index in enumerate(images.indices)
        # The file is looked for first: to learn what an image shows may mean to read its mask.
        if not folder.has(names[index])
        or folder.note(names[index]) not in (None, images.shown(item))
    ]
    summary = Summary(there=len(images) - len(missing))
    progress(summary)
    todo = Images(images.dataset, missing, images.files)
    for pixels, seconds in work(todo, network, finish, pool, workers, skip_problems, summary):
        summary.pixels.update(pixels)
        summary.seconds.update(seconds)
        summary.written += 1
        progress(summary)
    # The next training would use labels that were made from image-level labels of before.
    for path in summary.problems:
        folder.remove(images.files.name(path))
    summary.elapsed = time.perf_counter() - start
    return summary


def work(
    images: Images,
    network: Callable[[Image], np.ndarray],
    finish: Callable[[Image, np.ndarray], Any],
    pool: ProcessPoolExecutor,
    workers: int,
    skip_problems: bool,
    summary: Summary,
) -> Iterator[Any]:
    """Read images, run the network in this process, and ``finish`` in others, all in parallel.

    Args:
        images: The images to read.
        network: Computes an array from an image.
        finish: Takes an image and its array; its results are yielded as they come.
        pool: The processes for ``finish``, from :func:`processes`.
        workers: How many processes ``pool`` has.
        skip_problems: Whether an image that cannot be read, or is too large for the network or
            ``finish``, is skipped and counted, or ends the run.
        summary: Receives problems and durations.

    Raises:
        ImageError: At the first image with a problem, unless such images are skipped.
        RuntimeError: If a process dies.
    """
    pending: dict[Future, str] = {}

    def failed(path: str, problem: str) -> None:
        if not skip_problems:
            raise ImageError(f'{problem}\n(--on-error skip leaves such images out and counts them)')
        summary.problems[path] = problem

    def finished(futures: Iterable[Future]) -> Iterator[Any]:
        for future in futures:
            path = pending.pop(future)
            try:
                result = future.result()
            except BrokenProcessPool:
                raise
            except (RuntimeError, MemoryError, ValueError) as error:
                failed(path, f'{path}: {error or type(error).__name__}')
                continue
            yield result

    loader = DataLoader(
        images, batch_size=None, num_workers=1, prefetch_factor=8, multiprocessing_context='fork',
        collate_fn=_as_it_is, worker_init_fn=leave_interrupts,
    )  # fmt: skip
    try:
        for image in loader if len(images) else ():
            summary.seconds['disk'] += image.seconds
            if image.problem:
                failed(image.path, image.problem)
                continue
            started = time.perf_counter()
            try:
                output = network(image)
            except (RuntimeError, MemoryError) as error:
                failed(image.path, f'{image.path}: {error or type(error).__name__}')
                continue
            summary.seconds['network'] += time.perf_counter() - started
            pending[pool.submit(finish, image, output)] = image.path
            timeout = None if len(pending) >= QUEUED_PER_WORKER * workers else 0
            yield from finished(wait(pending, timeout, FIRST_COMPLETED).done)
        yield from finished(list(pending))
    except BrokenProcessPool:
        raise RuntimeError(
            'a process beside the network has died, perhaps for want of memory; every written file '
            'is whole: run the same command with fewer --workers to go on'
        ) from None


def _as_it_is(image: Image) -> Image:
    return image


def coverage(pixels: Counter) -> float:
    """Return the share of pixels that have a label, in [0, 1]."""
    total = sum(pixels.values())
    return 1 - pixels.get(IGNORE_INDEX, 0) / total if total else 0.0
