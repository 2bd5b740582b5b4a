"""Class activation maps: where a classifier sees a class (Section 3.3; Zhou et al., [61])."""

from collections.abc import Sequence

import torch
from mmseg.structures import SegDataSample
from torch import Tensor
from torch.nn import functional as F

from cct_mm.models import ImageClassifier


@torch.no_grad()
def class_activation_maps(
    model: ImageClassifier,
    image: Tensor,
    domain: str | None,
    present: Sequence[int],
    scales: Sequence[float] = (0.5, 1.0, 1.5, 2.0),
    flip: bool = True,
) -> Tensor:
    """Return the maps of the classes that an image shows, each with a maximum of 1.

    The maps of all scales and of the mirrored image are added, then the map of each class is
    divided by its maximum. The map of a class that is active nowhere stays 0.

    Args:
        model: The classifier, in evaluation mode.
        image: BGR pixels, 0-255.
        domain: Name of the domain; None means the only one.
        present: Indices of the P classes that the image shows.
        scales: Factors by which the image is resized, > 0.
        flip: Whether to add the maps of the mirrored image.

    Shape:
        - image: [3, H, W], uint8
        - output: [P, H, W], in [0, 1], float32
    """
    size = image.shape[1:]
    total = torch.zeros(len(present), *size, device=next(model.parameters()).device)
    if not len(present):
        return total
    for scale in scales:
        scaled_size = [max(1, round(side * scale)) for side in size]
        scaled = image[None].float()
        if tuple(scaled_size) != tuple(size):
            scaled = F.interpolate(
                scaled, scaled_size, mode='bilinear', align_corners=False, antialias=scale < 1
            )
        views = [scaled[0], scaled[0].flip(-1)] if flip else [scaled[0]]
        samples = [SegDataSample() for _ in views]
        inputs = model.data_preprocessor({'inputs': views, 'data_samples': samples})['inputs']
        maps = model.class_activation_maps(domain, inputs)[:, list(present)]
        # The padding, which lies to the right and below, is cut off.
        maps = F.interpolate(maps, inputs.shape[2:], mode='bilinear', align_corners=False)
        maps = maps[:, :, : scaled_size[0], : scaled_size[1]]
        if flip:
            maps = maps[:1] + maps[1:].flip(-1)
        total += F.interpolate(maps, size, mode='bilinear', align_corners=False)[0]
    return total / total.amax(dim=(1, 2), keepdim=True).clamp(min=1e-5)
