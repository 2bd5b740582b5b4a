"""Narrow strided 1x1 convolutions on a CPU, whose gradients oneDNN gets wrong."""

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH = 32
"""Convolutions with this many input channels per group, or more, are left alone.

oneDNN goes wrong below the number of float32 values in a register: 16 with AVX-512, 8 with AVX2.
The limit is twice the larger number, to be safe with future instruction sets; a layer that is
converted without need loses a few percent of its speed.
"""


class StridedPointwise(nn.Conv2d):
    """A strided 1x1 convolution that subsamples its input first and then convolves with stride 1.

    The result is the same. For strided 1x1 convolutions of few channels in channels-last layout,
    however, oneDNN computes the weight's gradient in buffers that are too small
    (uxlfoundation/oneDNN#6035, in every version of PyTorch so far): the process dies, or the
    gradient is wrong.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve in two steps on a CPU that will need the backward pass, and as usual elsewhere.

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
        # Changed for this call only, so that a subclass such as mmcv's ConvWS2d, which standardizes
        # its weight, still does its part.
        original = {name: getattr(self, name) for name in ('stride', 'padding', 'padding_mode')}
        self.stride, self.padding, self.padding_mode = (1, 1), (0, 0), 'zeros'
        try:
            return super().forward(x)
        finally:
            for name, value in original.items():
                setattr(self, name, value)


def use_strided_pointwise(module: nn.Module) -> None:
    """Make each narrow strided 1x1 convolution in ``module`` a :class:`StridedPointwise`.

    It remains an instance of its former class, such as mmcv's or timm's own convolution.
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
