"""Narrow strided 1x1 convolutions on a CPU, whose gradients oneDNN gets wrong."""

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH = 32
"""Input channels of a group from which on a convolution is left alone.

oneDNN goes wrong below the number of float32 values in a register: 16 with AVX-512, 8 with AVX2. It
is twice the larger one, for instruction sets to come; a wider layer that need not be converted
loses a few percent of its speed.
"""


class StridedPointwise(nn.Conv2d):
    """A strided 1x1 convolution that takes its stride before it convolves.

    It is the same computation. But for strided 1x1 convolutions of few channels, channels last,
    oneDNN computes the weight's gradient in buffers that are too small (uxlfoundation/oneDNN#6035,
    in every version of PyTorch so far): the process dies, or the gradient is wrong.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve; only where it is a CPU that will go backward, in two steps.

        Shape:
            - x: [B, C, H, W]
            - output: [B, C', ceil(H / stride), ceil(W / stride)], without padding
        """
        if not (x.is_cpu and torch.is_grad_enabled()):
            return super().forward(x)
        # The stride counts from the first padded position.
        height, width = (0, 0) if isinstance(self.padding, str) else self.padding
        if height or width:
            mode = 'constant' if self.padding_mode == 'zeros' else self.padding_mode
            x = F.pad(x, (width, width, height, height), mode=mode)
        x = F.avg_pool2d(x, 1, self.stride)
        # Lent for one pass, so that a kind of convolution that does more to its weight still does.
        there = {name: getattr(self, name) for name in ('stride', 'padding', 'padding_mode')}
        self.stride, self.padding, self.padding_mode = (1, 1), (0, 0), 'zeros'
        try:
            return super().forward(x)
        finally:
            for name, value in there.items():
                setattr(self, name, value)


def use_strided_pointwise(module: nn.Module) -> None:
    """Let each narrow strided 1x1 convolution in ``module`` work as a :class:`StridedPointwise`.

    Parameters, checkpoints and results stay as they are. It is whatever class of convolution it was
    as well, such as mmcv's or timm's own.
    """
    for child in module.modules():
        if isinstance(child, nn.Conv2d) and _is_narrow_strided_pointwise(child):
            child.__class__ = _strided(type(child))


@cache
def _strided(kind: type[nn.Conv2d]) -> type[nn.Conv2d]:
    if kind is nn.Conv2d:
        return StridedPointwise
    return type(f'StridedPointwise{kind.__name__}', (StridedPointwise, kind), {})


def _is_narrow_strided_pointwise(conv: nn.Conv2d) -> bool:
    return (
        not isinstance(conv, StridedPointwise)
        and conv.kernel_size == (1, 1)
        and max(conv.stride) > 1
        and conv.in_channels // conv.groups < WIDTH
    )
