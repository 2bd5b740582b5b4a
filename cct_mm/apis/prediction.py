"""What a network says of one image."""

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from cct_mm.files import write_atomically
from cct_mm.visualization import colorize, indexed_png, jpeg, overlay, sheet

SOURCE = 'image'
"""Key of the text in a label file that names what it was made of."""

PANEL = 480
"""Width of each picture in a row of several domains, in pixels."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """Labels of one image, at the image's own size.

    Args:
        labels: The class of each pixel, an index of ``classes``.
        probabilities: Probability of each class, or None if they were not asked for.
        domain: Name of the domain whose head predicted.
        classes: Names of its classes.
        palette: R, G, B of each class.
        source: Path of the image, or which frame or array it is.
        name: Name of its results, without suffix; images of different folders differ.
        image: The image as it was read, RGB.

    Shape:
        - labels: [H, W], uint8
        - probabilities: [C, H, W], float32
        - palette: [C, 3], uint8
        - image: [H, W, 3], uint8
    """

    labels: np.ndarray
    probabilities: np.ndarray | None
    domain: str
    classes: tuple[str, ...]
    palette: np.ndarray
    source: str
    name: str
    image: np.ndarray

    def overlay(self, opacity: float = 0.6) -> np.ndarray:
        """Return the labels in their colors over the image, RGB, [H, W, 3], uint8.

        Args:
            opacity: Opacity of the labels, in [0, 1].
        """
        return overlay(self.image, colorize(self.labels, self.palette), opacity)

    def png(self) -> bytes:
        """Return the labels as an indexed PNG, which shows the palette and names the source."""
        palette = np.zeros((256, 3), np.uint8)
        palette[: len(self.palette)] = self.palette
        return indexed_png(self.labels, palette, {SOURCE: self.source})

    def npz(self) -> bytes:
        """Return ``probabilities`` as a compressed NumPy file, float16.

        Raises:
            ValueError: If they were not asked for.
        """
        if self.probabilities is None:
            raise ValueError(
                f'{self.source} has no probabilities, expected some; ask for them with '
                'predict(..., probabilities=True)'
            )
        buffer = io.BytesIO()
        np.savez_compressed(buffer, probabilities=self.probabilities.astype(np.float16))
        return buffer.getvalue()

    def save(self, folder: str | os.PathLike) -> Path:
        """Write ``labels/NAME.png``, ``overlays/NAME.jpg`` and, if any, ``probabilities/NAME.npz``.

        Args:
            folder: Where to; files of these names are replaced.

        Returns:
            Path of the labels.

        Raises:
            OSError: If the system refuses.
        """
        folder = Path(folder)
        if self.probabilities is not None:
            write_atomically(folder / f'probabilities/{self.name}.npz', self.npz())
        write_atomically(folder / f'overlays/{self.name}.jpg', jpeg(self.overlay()))
        labels = folder / f'labels/{self.name}.png'
        write_atomically(labels, self.png())
        return labels


def picture(predictions: Sequence[Prediction]) -> np.ndarray:
    """Draw what is predicted for one image, RGB, [H, W, 3], uint8.

    Args:
        predictions: One by each domain. A single one is laid over the image at its size; several
            are drawn in a row beside the image, each :data:`PANEL` pixels wide.
    """
    if len(predictions) == 1:
        return predictions[0].overlay()
    pictures = [predictions[0].image, *(p.overlay() for p in predictions)]
    height, width = pictures[0].shape[:2]
    size = PANEL, max(1, round(height * PANEL / width))
    # Averages where the picture shrinks; OpenCV takes linear interpolation where it grows.
    row = [cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in pictures]
    return sheet([row], ['image', *(p.domain for p in predictions)], scale=1)
