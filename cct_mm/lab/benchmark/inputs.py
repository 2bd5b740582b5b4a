"""Images, labels and targets that are made up, from a seed."""

from collections.abc import Sequence

import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor
from torch.nn import functional as F

from cct_mm import keyed


def blobs(shape: Sequence[int], classes: int, *key: keyed.Part) -> Tensor:
    """Draw logits that are smooth over space, so that label maps have objects: [B, C, H, W]."""
    batch, height, width = shape
    coarse = [max(1, side // 16) for side in (height, width)]
    noise = torch.randn(batch, classes, *coarse, generator=keyed.generator(*key))
    return F.interpolate(4 * noise, (height, width), mode='bilinear')


def made_up_batch(
    domain: str, classes: int, size: tuple[int, int], labeled: int, unlabeled: int, seed: int
) -> dict[str, list]:
    """Make up a batch like those of a dataloader.

    Args:
        domain: Name of the domain.
        classes: Number of classes C.
        size: Height and width in pixels.
        labeled: Number of labeled images.
        unlabeled: Number of unlabeled images.
        seed: Another seed makes other images and labels.
    """
    inputs, samples = [], []
    generator = keyed.generator(seed, 'images', domain)
    labels = blobs((max(labeled, 1), *size), classes, seed, 'labels', domain).argmax(dim=1)
    for i in range(labeled + unlabeled):
        inputs.append(torch.randint(256, (3, *size), dtype=torch.uint8, generator=generator))
        sample = SegDataSample(
            metainfo=dict(
                domain=domain,
                supervision='labeled' if i < labeled else 'unlabeled',
                sample_key=f'{domain}/{i}',
                img_shape=size,
                ori_shape=size,
            )
        )
        if i < labeled:
            sample.gt_sem_seg = PixelData(data=labels[i : i + 1])
        samples.append(sample)
    return {'inputs': inputs, 'data_samples': samples}
