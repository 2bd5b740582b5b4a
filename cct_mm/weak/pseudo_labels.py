"""Pseudo-labels y_p from class activation maps or probabilities (paper, Section 3.3)."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from cct_mm.labels import IGNORE_INDEX

from .crf import CRF

VERSION = 2
"""Version of how pseudo-labels follow from network and image; it is raised with every change, so
that one folder never holds pseudo-labels of two versions. Version 1 had no CRF where an image of
one class showed other classes, too."""


def threshold(
    maps: np.ndarray,
    present: Sequence[int],
    background: float | None,
    foreground: float,
) -> np.ndarray:
    """Return the label of each pixel by two thresholds: y_p before the CRF.

    A pixel gets the class of its largest value if that value is above ``foreground``, background
    (0) if it is below ``background``, and otherwise no label (255).

    Args:
        maps: Class activation maps of the classes that the image shows, each in [0, 1].
        present: The labels of these classes.
        background: theta_bg. None means that the domain has no background class: a pixel whose
            largest value is not above ``foreground`` has no label.
        foreground: theta_fg.

    Shape:
        - maps: [P, H, W]
        - output: [H, W], uint8
    """
    if not len(present):
        return np.full(maps.shape[1:], IGNORE_INDEX if background is None else 0, np.uint8)
    largest = maps.max(axis=0)
    labels = np.asarray(present, np.uint8)[maps.argmax(axis=0)]
    labels = np.where(largest > foreground, labels, np.uint8(IGNORE_INDEX))
    if background is not None:
        labels[largest < background] = 0
    return labels


@dataclass(frozen=True)
class Recipe:
    """How activation maps become pseudo-labels.

    Args:
        background: theta_bg, in [0, 1]; a pixel below it is background.
        foreground: theta_fg, in [0, 1]; a pixel above it takes the class of its largest value.
        per_threshold: False (the paper): both thresholds give labels, which one CRF refines; a
            pixel without a label gets none. True (the released code): each threshold alone
            separates foreground from background, refined by a CRF of its own. Foreground at
            theta_fg takes its class, background at theta_bg is background, and all other pixels
            have no label.
        crf: The CRF, or None to leave it out.

    Raises:
        ValueError: For thresholds that are not 0 <= background <= foreground <= 1.
    """

    background: float = 0.05
    foreground: float = 0.30
    per_threshold: bool = False
    crf: CRF | None = field(default_factory=CRF)

    def __post_init__(self) -> None:
        if not 0 <= self.background <= self.foreground <= 1:
            raise ValueError(
                f'thresholds are theta_bg={self.background} and theta_fg={self.foreground}, '
                'expected 0 <= theta_bg <= theta_fg <= 1: activation maps have a maximum of 1'
            )

    def labels(
        self,
        image: np.ndarray,
        maps: np.ndarray,
        present: Sequence[int],
        has_background: bool,
        complete: bool = True,
    ) -> np.ndarray:
        """Return y_p.

        Args:
            image: RGB pixels, 0-255.
            maps: As for :func:`threshold`.
            present: The labels of the maps.
            has_background: Whether label 0 is background.
            complete: Whether the image shows no other classes. If it does show others, background
                may be one of them, so the CRF sees it but its pixels have no label in the end.

        Shape:
            - image: [H, W, 3], uint8
            - maps: [P, H, W]
            - output: [H, W], uint8, 255 where a pixel has no label
        """
        if self.per_threshold and has_background and len(present):
            labels = self._per_threshold(image, maps, present)
        else:
            background = self.background if has_background else None
            labels = self.refined(image, threshold(maps, present, background, self.foreground))
        if has_background and not complete:
            labels[labels == 0] = IGNORE_INDEX
        return labels

    def refined(
        self, image: np.ndarray, labels: np.ndarray, among: Sequence[int] | None = None
    ) -> np.ndarray:
        """Let the CRF move the borders of labels; a pixel without a label gets none.

        Args:
            image: RGB pixels, 0-255.
            labels: Labels, 255 where a pixel has none.
            among: As for :meth:`CRF.refine`.

        Shape:
            - image: [H, W, 3], uint8
            - labels and output: [H, W], uint8
        """
        if self.crf is None:
            return labels
        refined = self.crf.refine(image, labels, among)
        return np.where(labels == IGNORE_INDEX, labels, refined)

    def _per_threshold(
        self, image: np.ndarray, maps: np.ndarray, present: Sequence[int]
    ) -> np.ndarray:
        foreground = np.asarray(present, np.uint8)[maps.argmax(axis=0)]
        sure, possible = (
            self.refined(
                image, np.where(maps.max(axis=0) > theta, foreground, np.uint8(0)), (0, *present)
            )
            for theta in (self.foreground, self.background)
        )
        labels = np.where(sure > 0, sure, np.uint8(IGNORE_INDEX))
        labels[(sure == 0) & (possible == 0)] = 0
        return labels


PRESETS = {'paper': Recipe(), 'released': Recipe(per_threshold=True)}
"""Recipes by name."""


def confident(probability: Tensor, confidence: float, present: Sequence[int] | None) -> Tensor:
    """Return the likeliest label of each pixel if it is likely enough: y_p of a segmentor.

    Args:
        probability: The segmentor's prediction.
        confidence: Smallest probability of a label, in [0, 1].
        present: Classes that the image shows, background included; a pixel of any other class has
            no label. None means that they are unknown.

    Shape:
        - probability: [C, H, W]
        - output: [H, W], uint8, 255 where a pixel has no label
    """
    largest, labels = probability.max(dim=0)
    sure = largest >= confidence
    if present is not None:
        sure &= torch.isin(labels, torch.tensor(list(present), device=labels.device))
    return labels.where(sure, IGNORE_INDEX).to(torch.uint8)
