"""Preprocessing of a training batch as a whole: one copy to the device, one normalization."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.structures import PixelData
from mmseg.models import SegDataPreProcessor
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor
from torch.nn import functional as F

from .transfer import stack_on

PADDED = ('gt_sem_seg', 'gt_edge_map', 'gt_depth_map')
"""The maps of a sample that mmseg pads as the image."""


@MODELS.register_module()
class BatchPreprocessor(SegDataPreProcessor):
    """mmseg's ``SegDataPreProcessor``, which takes a training batch of one size as a whole.

    mmseg copies, converts, normalizes and pads each image and each label map by itself, and waits
    for each copy. This one stacks them first, in pinned memory, and has the same result bit for
    bit. Images of several sizes, ``batch_augments`` and inference are left to mmseg.

    Every segmentor of this package has it in the place of a ``SegDataPreProcessor``.

    Args:
        mean: Mean of each channel, of any number of channels; mmseg's takes 1 or 3.
        std: Standard deviation of each channel.
        **kwargs: As for mmseg's.

    Raises:
        ValueError: If there are more of one than of the other.
    """

    def __init__(
        self, mean: Sequence[float] | None = None, std: Sequence[float] | None = None, **kwargs
    ) -> None:
        further = bool(mean and std) and not {len(mean), len(std)} <= {1, 3}
        if further and len(std) != len(mean):
            raise ValueError(
                f'model.data_preprocessor: mean has {len(mean)} values and std {len(std)}, '
                'expected one of each for each channel'
            )
        super().__init__(mean[:1] if further else mean, std[:1] if further else std, **kwargs)
        if further:
            self.mean = torch.tensor(mean).view(-1, 1, 1)
            self.std = torch.tensor(std).view(-1, 1, 1)

    def forward(self, data: dict, training: bool = False) -> dict[str, Any]:
        """Return the batch on the device.

        Args:
            data: What the dataloader gives: a list of images and one of samples, which stay as they
                are.
            training: Whether labels come with it.

        Shape:
            - data['inputs']: [C, H', W'] each
            - output['inputs']: [B, C, H, W]
        """
        inputs, samples = data['inputs'], data.get('data_samples')
        if not (training and isinstance(samples, list) and self._makes_a_batch(inputs)):
            return super().forward(data, training)
        images = stack_on(self.device, inputs)
        if self._channel_conversion and images.shape[1] == 3:
            images = images.flip(1)
        images = images.float()
        if self._enable_normalize:
            images = (images - self.mean) / self.std
        size = images.shape[2:]
        padding = self._padding(size)
        samples = _on(self.device, samples, padding, self.seg_pad_val)
        for sample in samples:
            maps = [sample.get(key) for key in PADDED if key in sample]
            pad_shape = maps[-1].shape if maps else None
            sample.set_metainfo(dict(img_shape=size, pad_shape=pad_shape, padding_size=padding))
        return dict(inputs=_padded(images, padding, self.pad_val), data_samples=samples)

    def _makes_a_batch(self, inputs: Any) -> bool:
        if self.batch_augments is not None or (self.size is None) == (self.size_divisor is None):
            return False
        if not isinstance(inputs, list) or not all(isinstance(x, Tensor) for x in inputs):
            return False
        return len({(x.shape, x.dtype, x.device) for x in inputs}) == 1 and inputs[0].ndim == 3

    def _padding(self, size: Sequence[int]) -> tuple[int, int, int, int]:
        """Return the pixels to be added at the left, right, top and bottom."""
        if self.size is not None:
            down, across = (max(a - b, 0) for a, b in zip(self.size[-2:], size, strict=True))
        else:
            down, across = (-side % max(self.size_divisor, 1) for side in size)
        return (0, across, 0, down)


def instead_of_mmsegs(config: Any) -> Any:
    """Return the config of a preprocessor, with this one in the place of mmseg's."""
    kind = config.get('type') if isinstance(config, dict) else None
    if (MODELS.get(kind) if isinstance(kind, str) else kind) is SegDataPreProcessor:
        return {**config, 'type': BatchPreprocessor}
    return config


def _padded(maps: Tensor, padding: tuple[int, int, int, int], value: float) -> Tensor:
    return F.pad(maps, padding, value=value) if any(padding) else maps


def _on(
    device: torch.device,
    samples: Sequence[SegDataSample],
    padding: tuple[int, int, int, int],
    value: float,
) -> list[SegDataSample]:
    """Return copies of the samples on the device: each kind of map is copied and padded as one.

    Args:
        device: Where to.
        samples: The samples.
        padding: Of the maps in :data:`PADDED`.
        value: Of their padding.
    """
    kinds: dict[tuple, list[tuple]] = {}
    for i, sample in enumerate(samples):
        for key, field in _pixel_data(sample):
            for name, x in field.items():
                if isinstance(x, Tensor):
                    kind = (key, name, x.shape, x.dtype, x.device)
                    kinds.setdefault(kind, []).append((i, x))
    maps: dict[tuple, dict[str, Tensor]] = {}
    for (key, name, *_), found in kinds.items():
        indices, tensors = zip(*found, strict=True)
        block = stack_on(device, tensors)
        if key in PADDED and name == 'data':
            block = _padded(block, padding, value)
        for i, x in zip(indices, block, strict=True):
            maps.setdefault((i, key), {})[name] = x
    return [_copy(sample, device, maps, i) for i, sample in enumerate(samples)]


def _copy(sample: SegDataSample, device: torch.device, maps: dict, i: int) -> SegDataSample:
    """Return a sample with the maps that are on the device, and copy all else."""
    copy = type(sample)(metainfo=sample.metainfo)
    fields = dict(_pixel_data(sample))
    for key, value in sample.items():
        if key in fields:
            data = {**dict(value.items()), **maps.get((i, key), {})}
            value = type(value)(metainfo=value.metainfo, **data)
        elif hasattr(value, 'to'):
            value = value.to(device)
        setattr(copy, key, value)
    return copy


def _pixel_data(sample: SegDataSample) -> list[tuple[str, PixelData]]:
    return [(key, value) for key, value in sample.items() if isinstance(value, PixelData)]
