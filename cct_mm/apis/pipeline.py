"""From an image to what the network sees, by the transforms of a config."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from mmcv.transforms import LoadAnnotations, LoadImageFromFile
from mmseg.datasets.transforms import LoadImageFromNDArray, PackSegInputs
from mmseg.registry import TRANSFORMS

from cct_mm.datasets.transforms import LoadCheckedImage, LoadImageLabels
from cct_mm.visualization import viewable


@dataclass(frozen=True)
class Prepared:
    """An image and what the network sees of it.

    Args:
        image: A picture of the image as it was read, RGB, [H, W, 3], uint8.
        views: For each version of it ``dict(inputs=..., data_samples=...)`` as mmseg packs it.
    """

    image: np.ndarray
    views: tuple[dict, ...]

    @property
    def shapes(self) -> tuple:
        """Shapes of the views; images of the same shapes make a batch."""
        return tuple(view['inputs'].shape for view in self.views)


class ImagePipeline:
    """Reads an image and transforms it as in evaluation, without labels.

    Where the config does not say how images are meant that EXIF data turn, they are turned as
    viewers show them: here is no mask which they might not fit any more.

    Args:
        pipeline: Configs of the transforms, as ``evaluation_pipeline`` returns them.
        views: Configs of further transforms, for each version of the image.
    """

    def __init__(self, pipeline: Sequence[dict], views: Sequence[Sequence[dict]] = ((),)) -> None:
        transforms = [TRANSFORMS.build(config) for config in pipeline]
        loading = [t for t in transforms if isinstance(t, LoadImageFromFile)]
        self.load = loading[0] if loading else LoadCheckedImage()
        if isinstance(self.load, LoadCheckedImage) and self.load.reading['orientation'] is None:
            self.load.reading['orientation'] = 'exif'
        self.take = LoadImageFromNDArray(to_float32=self.load.to_float32)
        of_training = (LoadImageFromFile, LoadAnnotations, LoadImageLabels, PackSegInputs)
        self.transforms = [t for t in transforms if not isinstance(t, of_training)]
        self.views = [[TRANSFORMS.build(config) for config in view] for view in views]
        self.pack = PackSegInputs()

    def __call__(self, image: str | np.ndarray) -> Prepared:
        """Read and transform an image.

        Args:
            image: Its path, or its pixels as ``LoadCheckedImage`` loads them: [H, W, 3], uint8,
                BGR, or as many channels as the config says.

        Raises:
            ValueError: If it is an array of another kind; files may raise anything.
        """
        if isinstance(image, str):
            results = self.load({'img_path': image, 'seg_fields': []})
        else:
            image = self._checked(image)
            results = self.take({'img': image, 'seg_fields': []})
        picture = viewable(results['img'])
        for transform in self.transforms:
            results = transform(results)
        return Prepared(
            picture,
            tuple(self._packed(copy.deepcopy(results), view) for view in self.views),
        )

    def _checked(self, image: np.ndarray) -> np.ndarray:
        """Return the pixels of an image, [H, W, C], if they are as the config loads them."""
        channels = getattr(self.load, 'channels', 3)
        pixels = image[..., None] if image.ndim == 2 and channels == 1 else image
        if pixels.ndim != 3 or pixels.shape[2] != channels or pixels.dtype != np.uint8:
            order = ', BGR, as cv2.imread returns it' if channels == 3 else ''
            raise ValueError(
                f'an image is an array of shape {list(image.shape)} and type {image.dtype}, '
                f'expected [H, W, {channels}] and uint8{order}'
            )
        return pixels

    def _packed(self, results: dict, view: Sequence) -> dict:
        for transform in view:
            results = transform(results)
        return self.pack(results)
