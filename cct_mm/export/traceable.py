"""From an image to its label map in one module without Python objects, which can be traced."""

import json
from collections.abc import Mapping

import torch
from mmseg.models.segmentors import EncoderDecoder
from mmseg.structures import SegDataSample
from torch import Tensor, nn
from torch.export import Dim
from torch.nn import functional as F

from cct_mm.version import __version__

from .traceable_layers import num_channels, pad_by_layers, pool_by_products

INPUT = 'images'
OUTPUTS = ('logits', 'labels')
TRACED_SIZE = (2, 90, 122)
"""Batch, height and width of the images by which a network is traced; neither is fixed by it."""
CHECKED_SIZES = ((1, 75, 101), (3, 128, 96), (2, 97, 160))
"""Those by which what was traced is compared with the network."""


class Traceable(nn.Module):
    """A plain network with all that mmseg does before and after it: :data:`INPUT` to logits.

    Colors are reordered and normalized, the image is padded and the logits are cut to its size. The
    image is seen as a whole.

    Args:
        model: As :func:`~cct_mm.export.plain_model` returns it. It is changed.

    Shape:
        - images: [B, 3, H, W], any floating type, 0 to 255, in the order of the file reader (BGR)
        - output: logits [B, C, H, W] and labels [B, H, W], uint8

    Raises:
        ValueError: If images are padded to a fixed size.
    """

    def __init__(self, model: EncoderDecoder) -> None:
        super().__init__()
        self.model = model
        preprocessor = model.data_preprocessor
        padding = preprocessor.test_cfg or {}
        if padding.get('size') is not None:
            raise ValueError(
                f'data_preprocessor.test_cfg.size is {padding["size"]}, expected size_divisor '
                'alone: a network that is exported sees images of any size'
            )
        self.divisor = padding.get('size_divisor') or 1
        self.pad_value = preprocessor.pad_val
        self.reorder = preprocessor._channel_conversion
        self.normalize = preprocessor._enable_normalize
        pad_by_layers(model, self.divisor)
        pool_by_products(model)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and labels at the images' size."""
        height, width = images.shape[2:]
        logits = self._logits(self._prepared(images))
        # Not by a slice, whose layout depends on whether anything was padded.
        for dim, side in (2, height), (3, width):
            logits = logits.index_select(dim, torch.arange(side, device=logits.device))
        return logits, logits.argmax(dim=1).to(torch.uint8)

    def _prepared(self, images: Tensor) -> Tensor:
        preprocessor = self.model.data_preprocessor
        if self.reorder and images.shape[1] == 3:
            images = images.flip(1)
        if self.normalize:
            images = (images - preprocessor.mean) / preprocessor.std
        # In this form the traced size is known to be a multiple.
        down, across = (
            (side + self.divisor - 1) // self.divisor * self.divisor - side
            for side in images.shape[2:]
        )
        return F.pad(images, (0, across, 0, down), value=self.pad_value)

    def _logits(self, images: Tensor) -> Tensor:
        logits = self.model.decode_head(self.model.extract_feat(images))
        if logits.shape[2:] == images.shape[2:]:
            return logits
        return F.interpolate(
            logits, images.shape[2:], mode='bilinear', align_corners=self.model.align_corners
        )


def trace(model: Traceable) -> torch.export.ExportedProgram:
    """Trace a network; batch, height and width stay open."""
    images = example(model.model, TRACED_SIZE)
    open_sides = {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC}
    with torch.no_grad():
        program = torch.export.export(model, (images,), dynamic_shapes=(open_sides,))
    # They say which of two equal ways, such as a view or a copy, the traced size has taken, and
    # would refuse sizes that take the other. Whoever traces compares the results at such sizes.
    program._guards_code = []
    return program


def example(model: nn.Module, size: tuple[int, int, int]) -> Tensor:
    """Return images of random numbers, always the same, that a network can see.

    Args:
        model: The network.
        size: Batch, height and width.
    """
    generator = torch.Generator().manual_seed(0)
    batch, *sides = size
    return 255 * torch.rand(batch, num_channels(model), *sides, generator=generator)


@torch.no_grad()
def predicted_logits(model: EncoderDecoder, images: Tensor, domain: str | None = None) -> Tensor:
    """Return the logits of a network as mmseg computes them, before they are resized.

    Args:
        model: A plain network, or one with domains.
        images: Values 0 to 255.
        domain: Name of the domain, for a network that has several.

    Shape:
        - images: [B, 3, H, W]
        - output: [B, C, H, W]
    """
    height, width = images.shape[2:]
    meta = dict(img_shape=(height, width), domain=domain)
    samples = [SegDataSample(metainfo=meta) for _ in images]
    data = model.data_preprocessor(dict(inputs=list(images), data_samples=samples))
    logits = model.encode_decode(data['inputs'], [s.metainfo for s in data['data_samples']])
    return logits[:, :, :height, :width]


def description(domain: str, meta: Mapping, model: EncoderDecoder, pipeline: list) -> dict:
    """Return what a user of an exported network has to know, as texts by their names.

    Args:
        domain: Name of the domain.
        meta: Its classes and palette.
        model: The plain network.
        pipeline: The transforms that come before it.
    """
    preprocessor = model.data_preprocessor
    normalization = (
        (preprocessor.mean.flatten().tolist(), preprocessor.std.flatten().tolist())
        if preprocessor._enable_normalize
        else (None, None)
    )
    values = dict(
        domain=domain,
        classes=list(meta['classes']),
        palette=meta['palette'],
        mean=normalization[0],
        std=normalization[1],
        test_pipeline=pipeline,
        test_cfg=dict(model.test_cfg),
    )
    channels = num_channels(model)
    order = 'BGR, as OpenCV reads them' if channels == 3 else 'as in the training images'
    return {
        'input': f'{INPUT}: float32 [B, {channels}, H, W], values 0-255, channels {order}; '
        'normalization and padding are part of the network, resizing is not',
        'output': 'logits: float32 [B, classes, H, W]; labels: uint8 [B, H, W]',
        'cct_mm_version': __version__,
        **{
            key: value if isinstance(value, str) else json.dumps(value, default=str)
            for key, value in values.items()
        },
    }
