"""Layers whose work depends on the size of a map, in forms that take a symbol for it."""

import torch
from torch import Tensor, nn

from cct_mm.models.resampling import pool_any_size

try:
    from timm.layers import Conv2dSame
except ImportError:
    # Nothing is an instance of it.
    Conv2dSame = ()

MULTIPLES = (2, 3, 4, 5)
"""Of the size divisor: the sides of images that tell whether a padding varies."""


def num_channels(model: nn.Module) -> int:
    """Return the number of channels of images, by the convolution that a backbone begins with."""
    return next(m for m in model.backbone.modules() if isinstance(m, nn.Conv2d)).in_channels


class PoolByProducts(nn.Module):
    """A ``nn.AdaptiveAvgPool2d`` that ONNX can say for any size.

    Args:
        cells: Height and width of the output, in positions.
    """

    def __init__(self, cells: tuple[int, int]) -> None:
        super().__init__()
        self.cells = cells

    def forward(self, x: Tensor) -> Tensor:
        """Return the map at the size of the cells."""
        return pool_any_size(x, self.cells)


def pool_by_products(model: nn.Module) -> None:
    """Replace adaptive pooling to a fixed size, as in pyramids of mmseg's heads, in place."""
    for parent in list(model.modules()):
        for name, child in parent._modules.items():
            if isinstance(child, nn.AdaptiveAvgPool2d):
                cells = child.output_size
                cells = (cells, cells) if isinstance(cells, int) else tuple(cells)
                if None not in cells:
                    parent._modules[name] = PoolByProducts(cells)


def pad_by_layers(model: nn.Module, divisor: int) -> None:
    """Let TensorFlow's ``same`` convolutions pad by layers of fixed size, where that is the same.

    How much they pad depends on the map's size, for which a tracer that has symbols for sizes
    takes minutes. For images whose sides are multiples of the network's stride it never varies.

    Args:
        model: The network, which is changed in place.
        divisor: What the sides of its images are multiples of.
    """
    paddings: dict[nn.Module, set] = {}

    def note(conv: Conv2dSame, inputs: tuple[Tensor]) -> None:
        sides = zip(inputs[0].shape[2:], conv.kernel_size, conv.stride, conv.dilation, strict=True)
        needed = [max((-(-x // s) - 1) * s + (k - 1) * d + 1 - x, 0) for x, k, s, d in sides]
        paddings.setdefault(conv, set()).add(tuple(needed))

    hooks = [
        m.register_forward_pre_hook(note) for m in model.modules() if isinstance(m, Conv2dSame)
    ]
    if not hooks:
        return
    with torch.no_grad():
        for count in MULTIPLES:
            side = divisor * count
            model.extract_feat(torch.zeros(1, num_channels(model), side, side))
    for hook in hooks:
        hook.remove()
    for parent in list(model.modules()):
        for name, child in parent._modules.items():
            if isinstance(child, Conv2dSame) and len(paddings.get(child, ())) == 1:
                ((down, across),) = paddings[child]
                child.__class__ = nn.Conv2d
                around = (across // 2, across - across // 2, down // 2, down - down // 2)
                parent._modules[name] = nn.Sequential(nn.ZeroPad2d(around), child)
