"""Test-time augmentation as in the paper's Supplement F: five scales, each as is and mirrored."""

from collections.abc import Sequence

TABLE_9_SCALES = (0.5, 0.75, 1.0, 1.25, 1.5)
"""Factors of the size at which the network looks otherwise."""


def tta_transforms(scales: Sequence[float] = TABLE_9_SCALES) -> list[list[dict]]:
    """Return the transforms of each version of an image, in the order of ``TestTimeAug``.

    Args:
        scales: Factors of the image's size, > 0.
    """
    return [
        [
            dict(type='Resize', scale_factor=scale, keep_ratio=True),
            dict(type='RandomFlip', prob=prob, direction='horizontal'),
        ]
        for scale in scales
        for prob in (0.0, 1.0)
    ]
