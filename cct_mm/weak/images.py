"""The images that get pseudo-labels, read as they are."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmseg.datasets import BaseSegDataset
from mmseg.datasets.transforms import LoadAnnotations
from torch.utils.data import Dataset

from cct_mm.datasets.reading import sentence
from cct_mm.datasets.transforms import LoadImageLabels

from .writer import LabelFiles


@dataclass
class Image:
    """One image as it is read.

    Args:
        path: Path of the image file.
        name: Name of its label file, without suffix.
        pixels: BGR pixels, [H, W, 3], uint8; None where the image could not be read.
        present: Indices of the classes that it shows, without background; None if unknown.
        complete: Whether it shows no other classes.
        truth: Its true label map, [H, W], if one was asked for.
        problem: Why the image could not be read, or None.
        seconds: How long reading took.
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
    """The images of a training source, loaded by its pipeline but not augmented.

    A file that cannot be read does not end the run; its ``Image`` holds the problem instead.

    Args:
        dataset: The dataset of the source.
        indices: Indices of the images to read.
        files: Names the label files.
        truth: The same images with masks, if these are to be loaded too, by its pipeline.
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
        # Image-level labels that come from no file are derived from the masks.
        needed = (LoadImageFromFile, LoadImageLabels)
        needed += (LoadAnnotations,) if any(t.labels is None for t in labels) else ()
        self.transforms = [t for t in transforms if isinstance(t, needed)]
        self.has_image_labels = bool(labels)
        for transform in labels:
            transform.check_classes(dataset.metainfo['classes'], 'the source')

    def require_image_labels(self) -> None:
        """Check that the source has image-level labels.

        Raises:
            ValueError: If its pipeline loads none.
        """
        if not self.has_image_labels:
            raise ValueError(
                'the source has no image-level labels, expected LoadImageLabels in its pipeline: '
                'activation maps are made for the classes that an image shows'
            )

    def names(self) -> list[str]:
        """Return the name of each label file of the whole dataset, in its order.

        Raises:
            ValueError: If two images share a label file.
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
                image.truth = self.truth.pipeline(masks)['gt_seg_map']
        except Exception as error:  # a loader may raise anything
            image.problem = sentence(error, image.path)
        image.seconds = time.perf_counter() - start
        return image

    def shown(self, item: int) -> str:
        """Return the image-level labels of an image in words, without reading it; '' if unknown."""
        results = self.dataset.get_data_info(self.indices[item])
        try:
            for transform in self.transforms:
                if not isinstance(transform, LoadImageFromFile):
                    results = transform(results)
        except Exception:  # reading the image reports the same problem
            return ''
        return self._in_words(results)

    def _in_words(self, results: dict) -> str:
        if 'image_labels' not in results:
            return ''
        classes = self.dataset.metainfo['classes']
        names = [classes[index] for index in results['image_labels']]
        others = [] if results.get('image_labels_complete', True) else ['others']
        return ', '.join(names + others) or 'none'
