"""What an encoder makes of an image: channels and strides of its maps, by trying it once."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from mmseg.models.segmentors import EncoderDecoder
from torch import Tensor, nn

SIDE = 224
"""Of the image that is tried: a multiple of the strides 4, 8, 14, 16, 28 and 32."""


@dataclass(frozen=True)
class EncoderMaps:
    """Sizes of an encoder's maps for one image.

    Args:
        image: Height and width of the image.
        backbone: Shape of each map of the backbone, [1, D, h, w].
        maps: Empty maps that have the shapes of the encoder's, neck included.
    """

    image: tuple[int, int]
    backbone: tuple[torch.Size, ...]
    maps: tuple[Tensor, ...]

    def divisor(self) -> int:
        """Return what an image's sides should be multiples of, so that every map fits it."""
        shapes = [*self.backbone, *(x.shape for x in self.maps)]
        strides = {round(self.image[0] / shape[2]) for shape in shapes if len(shape) == 4}
        return math.lcm(*filter(None, strides))


def dry_forward(model: EncoderDecoder, in_channels: int) -> EncoderMaps:
    """Encode an empty image; weights, statistics and random numbers stay as they are.

    A real image rather than shapes alone, because layers may fix their sizes when they are first
    used; on the meta device, where nothing has values, it costs nothing.

    Args:
        model: With backbone and, if any, neck.
        in_channels: Channels of the image.

    Raises:
        ValueError: If the backbone takes neither a small image nor one of the preprocessor's size.
    """
    preprocessor = model.data_preprocessor
    divisor = getattr(preprocessor, 'size_divisor', None) or 1
    side = math.ceil(SIDE / divisor) * divisor
    sizes = [(side, side)]
    # Some encoders take no other size than that of training.
    if getattr(preprocessor, 'size', None) is not None:
        sizes.append(tuple(preprocessor.size[-2:]))
    device = next((p.device for p in model.backbone.parameters()), None)
    parts = [part for part in (model.backbone, model.neck) if part is not None]
    with torch.no_grad(), _evaluating(parts), torch.random.fork_rng(devices=[]):
        for size in sizes:
            try:
                found = model.backbone(torch.zeros(1, in_channels, *size, device=device))
            # That it cannot take a size it says by errors of many types.
            except Exception as error:
                failure = error
                continue
            maps = found if model.neck is None else model.neck(found)
            shapes = tuple(x.shape for x in found if isinstance(x, Tensor))
            empty = tuple(torch.empty(x.shape, device='meta') for x in maps)
            return EncoderMaps(size, shapes, empty)
    tried = ' and '.join(f'{h}x{w}' for h, w in sizes)
    raise ValueError(
        f'{type(model).__name__}: to see the shapes of its maps, the backbone was given an empty '
        f'image of {tried} and failed ({type(failure).__name__}: {failure}); set '
        'data_preprocessor.size to a size that it takes, or say in_channels and stride of z in '
        'model.auxiliary and data_preprocessor.size_divisor'
    ) from failure


@contextmanager
def _evaluating(modules: Sequence[nn.Module]) -> Iterator[None]:
    modes = [module.training for module in modules]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.train(mode)
