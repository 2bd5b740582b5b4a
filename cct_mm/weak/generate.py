"""Pseudo-labels for a whole dataset: reading, network, and CRF and writing beside each other."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmseg.datasets import BaseSegDataset
from mmseg.datasets.transforms import LoadAnnotations
from torch.utils.data import DataLoader, Dataset

from cct_mm.datasets.transforms import LoadCheckedAnnotations, LoadImageLabels
from cct_mm.labels import IGNORE_INDEX
from cct_mm.processes import leave_interrupts

from .pseudo_labels import Recipe
from .writer import Folder, LabelFiles

QUEUED_PER_WORKER = 4
"""Images that wait for each worker; more would only take memory."""


@dataclass
class Image:
    """One image as it is read.

    Args:
        path: Its file.
        name: Of its label file, without suffix.
        pixels: BGR, [H, W, 3], uint8; None where it could not be read.
        present: Indices of the classes that it shows, without background; None where unknown.
        complete: Whether it shows no other classes.
        truth: Its true label map, [H, W], where one was asked for.
        problem: Why it could not be read, or None.
        seconds: Time that reading took.
        shown: ``present`` and ``complete`` in words.
    """

    path: str
    name: str
    pixels: np.ndarray | None = None
    present: tuple[int, ...] | None = None
    complete: bool = True
    truth: np.ndarray | None = None
    problem: str | None = None
    seconds: float = 0.0
    shown: str = ''


class Images(Dataset):
    """The images of a training source as they are, without its augmentation.

    Of its pipeline only the loading is used. A file that cannot be read does not end the run: its
    problem is told.

    Args:
        dataset: The source's dataset.
        indices: Which of its images.
        files: What its label files are called.
        truth: The same images with masks, where they are to be loaded too.
    """

    def __init__(
        self,
        dataset: BaseSegDataset,
        indices: Sequence[int],
        files: LabelFiles,
        truth: BaseSegDataset | None = None,
    ) -> None:
        self.dataset, self.indices, self.files, self.truth = dataset, list(indices), files, truth
        transforms = dataset.pipeline.transforms
        labels = [t for t in transforms if isinstance(t, LoadImageLabels)]
        # Without a file, image-level labels are counted in masks.
        needed = (LoadImageFromFile, LoadImageLabels)
        needed += (LoadAnnotations,) if any(t.labels is None for t in labels) else ()
        self.transforms = [t for t in transforms if isinstance(t, needed)]
        self.has_image_labels = bool(labels)
        for transform in labels:
            transform.check_classes(dataset.metainfo['classes'], 'the source')

    def require_image_labels(self) -> None:
        """Raise a ValueError if the source does not tell which classes an image shows."""
        if not self.has_image_labels:
            raise ValueError(
                'the source tells no image-level labels, expected LoadImageLabels in its pipeline: '
                'activation maps are made for the classes that an image shows'
            )

    def names(self) -> list[str]:
        """Return the names of the label files of all images of the dataset, in its order.

        Raises:
            ValueError: If two images share one.
        """
        images: dict[str, str] = {}
        for index in range(len(self.dataset)):
            path = self.dataset.get_data_info(index)['img_path']
            name = self.files.name(path)
            if name in images:
                raise ValueError(
                    f'{images[name]} and {path} would have one label file, {name}.png, expected '
                    'one for each image; rename one of them, or take it off the list'
                )
            images[name] = path
        return list(images)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.indices)

    def __getitem__(self, item: int) -> Image:
        """Read an image."""
        start = time.perf_counter()
        results = self.dataset.get_data_info(self.indices[item])
        image = Image(results['img_path'], self.files.name(results['img_path']))
        try:
            for transform in self.transforms:
                results = transform(results)
            image.pixels, image.present = results['img'], results.get('image_labels')
            image.complete = results.get('image_labels_complete', True)
            image.shown = self._in_words(results)
            if self.truth is not None:
                masks = self.truth.get_data_info(self.indices[item])
                masks.setdefault('num_classes', len(self.truth.metainfo['classes']))
                masks['ori_shape'] = results['ori_shape']
                image.truth = LoadCheckedAnnotations().transform(masks)['gt_seg_map']
        except Exception as error:  # loaders fail as they like
            image.problem = _in_a_sentence(error, image.path)
        image.seconds = time.perf_counter() - start
        return image

    def shown(self, item: int) -> str:
        """Return what an image shows by its image-level labels, without reading it; '' if unknown.

        Args:
            item: Number of the image.
        """
        results = self.dataset.get_data_info(self.indices[item])
        try:
            for transform in self.transforms:
                if not isinstance(transform, LoadImageFromFile):
                    results = transform(results)
        except Exception:  # the same happens, and is told, when the image is read
            return ''
        return self._in_words(results)

    def _in_words(self, results: dict) -> str:
        if 'image_labels' not in results:
            return ''
        classes = self.dataset.metainfo['classes']
        names = [classes[index] for index in results['image_labels']]
        others = [] if results.get('image_labels_complete', True) else ['others']
        return ', '.join(names + others) or 'none'


@dataclass
class Summary:
    """What a run did.

    Args:
        written: Images whose pseudo-labels were written.
        there: Images whose pseudo-labels were there before.
        problems: For each image that was skipped, why.
        pixels: How many pixels have each label, 255 included.
        seconds: Time by what it was spent on; the parts run beside each other.
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
    """What happens to the network's output, in a process beside it: labels, CRF, file.

    Args:
        recipe: How maps become labels.
        files: What the label files look like.
        folder: Where they go.
        has_background: Whether label 0 is background.
    """

    recipe: Recipe
    files: LabelFiles
    folder: Folder
    has_background: bool

    def labels(self, image: Image, output: np.ndarray) -> np.ndarray:
        """Return the pseudo-labels of an image.

        Shape:
            - output: a classifier's activation maps, [P, H, W], or a segmentor's labels, [H, W]
            - return: [H, W], uint8, 255 where there is none
        """
        rgb = image.pixels[..., ::-1]
        if output.ndim == 2:
            return self.recipe.refined(rgb, output)
        return self.recipe.labels(rgb, output, image.present, self.has_background, image.complete)

    def __call__(self, image: Image, output: np.ndarray) -> tuple[Counter, Counter]:
        """Write the pseudo-labels of an image; return its pixels by label, and the seconds."""
        start = time.perf_counter()
        labels = self.labels(image, output)
        decided = time.perf_counter()
        self.folder.write(image.name, self.files.encode(labels, image.shown))
        written = time.perf_counter()
        values, counts = np.unique(labels, return_counts=True)
        pixels = Counter(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        return pixels, Counter({'CRF': decided - start, 'disk': written - decided})


class ImageError(ValueError):
    """An image can't be read, or has no image-level labels, or is too large; it is not skipped."""


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

    The network runs in this process, one image after another; reading and, by ``pool``, labels,
    CRF and writing run beside it. A file depends on its image alone, so a command that was killed
    and called again leaves the same files as one that was not.

    Args:
        images: Which images.
        network: Gives what ``finish`` takes.
        finish: Makes and writes the labels.
        pool: From :func:`processes`.
        workers: How many processes it has.
        skip_problems: Skip an image that cannot be read or is too much for the network or the CRF,
            and count it, or end the run.
        progress: Called whenever an image is done.

    Raises:
        ImageError: At the first such image, unless they are skipped.
        ValueError: If two images have one label file.
        OSError: If a file cannot be written.
    """
    start = time.perf_counter()
    names = images.names()
    folder = finish.folder
    missing = [
        index
        for item, index in enumerate(images.indices)
        # Only of a file that is there: to know what an image shows may take its mask.
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
    # Labels of what an image was once said to show would be trained on.
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
    """Read images, run the network here and ``finish`` in other processes, all beside each other.

    Args:
        images: Which images.
        network: Gives what ``finish`` takes, for one image.
        finish: What is left to do; its results are yielded as they come.
        pool: From :func:`processes`.
        workers: How many processes it has.
        skip_problems: Skip an image that cannot be read or is too much for the network or
            ``finish``, and count it, or end the run.
        summary: Where problems and seconds are kept.

    Raises:
        ImageError: At the first such image, unless they are skipped.
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
            'a process beside the network has died, perhaps for want of memory; what is written is '
            'whole: run the same command with fewer --workers to go on'
        ) from None


def _in_a_sentence(error: Exception, path: str) -> str:
    """Say what happened to an image; errors of other packages get their type said too."""
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    if not isinstance(error, OSError | ValueError) and ' ' not in text:
        text = f'{type(error).__name__}: {text}' if text else type(error).__name__
    return text if path in text else f'{path}: {text}'


def _as_it_is(image: Image) -> Image:
    return image


def coverage(pixels: Counter) -> float:
    """Return the share of pixels that have a label, in [0, 1]."""
    total = sum(pixels.values())
    return 1 - pixels.get(IGNORE_INDEX, 0) / total if total else 0.0
