"""Dense CRF: pixels that lie near each other and look alike take the same label ([28])."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cct_mm.labels import IGNORE_INDEX


@dataclass(frozen=True)
class CRF:
    """Parameters of the dense CRF; the defaults are those of the released code.

    Args:
        iterations: Steps of mean-field inference.
        confidence: Probability of each label that the CRF starts from, in (0, 1).
        smoothness_std: Standard deviation of the smoothness kernel, in pixels; it compares
            positions alone.
        smoothness_weight: Weight of the smoothness kernel.
        appearance_std: Standard deviation of the appearance kernel, in pixels; it compares
            positions and colors.
        colour_std: Standard deviation of the appearance kernel in color values, 0-255. The field
            keeps its spelling, which the settings beside existing pseudo-labels hold.
        appearance_weight: Weight of the appearance kernel.
    """

    iterations: int = 10
    confidence: float = 0.7
    smoothness_std: float = 3
    smoothness_weight: float = 3
    appearance_std: float = 50
    colour_std: float = 5
    appearance_weight: float = 10

    def refine(
        self, image: np.ndarray, labels: np.ndarray, among: Sequence[int] | None = None
    ) -> np.ndarray:
        """Return the most likely label of each pixel.

        A pixel without a label (255) starts with all of them equally likely, and gets one.

        Args:
            image: RGB pixels, 0-255.
            labels: Labels, 255 where a pixel has none.
            among: Labels that a pixel may get; None means the labels that occur.

        Shape:
            - image: [H, W, 3], uint8
            - labels and output: [H, W], uint8
        """
        occurring = np.unique(labels[labels != IGNORE_INDEX])
        present = occurring if among is None else np.asarray(sorted(among), np.uint8)
        if len(present) < 2:
            return np.full_like(labels, present[0]) if len(present) else labels.copy()
        densecrf = import_crf()
        count, (height, width) = len(present), labels.shape
        other = (1 - self.confidence) / (count - 1)
        probability = np.full((count, height, width), 1 / count, np.float32)
        decided = labels != IGNORE_INDEX
        for own, label in zip(probability, present, strict=True):
            own[decided] = np.where(labels[decided] == label, self.confidence, other)
        field = densecrf.DenseCRF2D(width, height, count)
        field.setUnaryEnergy(-np.log(probability.reshape(count, -1)))
        field.addPairwiseGaussian(sxy=self.smoothness_std, compat=self.smoothness_weight)
        field.addPairwiseBilateral(
            sxy=self.appearance_std,
            srgb=self.colour_std,
            rgbim=np.ascontiguousarray(image),
            compat=self.appearance_weight,
        )
        likelihood = np.asarray(field.inference(self.iterations))
        return present[likelihood.argmax(axis=0)].reshape(height, width)


def import_crf():
    """Import pydensecrf2, an optional extra.

    Raises:
        ImportError: If it is not installed.
    """
    try:
        import pydensecrf.densecrf
    except ImportError:
        raise ImportError(
            'the dense CRF needs pydensecrf2, which is not installed: pip install -e .[crf] (it is '
            'compiled, in a minute or two), or do without: --no-crf'
        ) from None
    return pydensecrf.densecrf
