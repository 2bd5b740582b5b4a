"""How much higher distances are on boundaries than inside, over the images of a data set."""

from dataclasses import dataclass, field
from statistics import fmean

import numpy as np


@dataclass
class Scores:
    """Gathers the distances of one level, image by image.

    Args:
        boundary: Their sum and number on boundaries.
        inside: Their sum and number elsewhere.
        areas: Area under the ROC curve of each image that has both.
    """

    boundary: list[float] = field(default_factory=lambda: [0.0, 0])
    inside: list[float] = field(default_factory=lambda: [0.0, 0])
    areas: list[float] = field(default_factory=list)

    def add(self, boundary: np.ndarray, inside: np.ndarray) -> None:
        """Add an image.

        Args:
            boundary: Distances of its positions on boundaries, one axis.
            inside: Distances of all others that have a label, one axis.
        """
        for sums, distances in ((self.boundary, boundary), (self.inside, inside)):
            sums[0] += float(distances.sum(dtype=np.float64))
            sums[1] += distances.size
        if boundary.size and inside.size:
            self.areas.append(area_under_curve(boundary, inside))

    def summary(self) -> dict[str, float | None]:
        """Return what the distances say.

        ``boundary`` and ``inside`` are means over all positions of all images, ``ratio`` is the
        first divided by the second, and ``auc`` the mean over the images of
        :func:`area_under_curve`. None is what cannot be said.
        """
        boundary, inside = (
            total / number if number else None for total, number in (self.boundary, self.inside)
        )
        return {
            'boundary': boundary,
            'inside': inside,
            'ratio': boundary / inside if boundary is not None and inside else None,
            'auc': fmean(self.areas) if self.areas else None,
        }


def area_under_curve(boundary: np.ndarray, inside: np.ndarray) -> float:
    """Return how often the distance at a boundary is higher than inside; a tie counts half.

    This is the area under the ROC curve of distance as a detector of boundaries: 0.5 is chance,
    1 says that every distance on a boundary is above every distance inside.

    Args:
        boundary: Distances on boundaries, one axis, not empty.
        inside: Distances elsewhere, one axis, not empty.
    """
    ordered = np.sort(inside)
    below = np.searchsorted(ordered, boundary, side='left')
    up_to = np.searchsorted(ordered, boundary, side='right')
    return float((below.mean() + up_to.mean()) / (2 * inside.size))
