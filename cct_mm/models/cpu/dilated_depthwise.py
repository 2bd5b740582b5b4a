"""Dilated depthwise convolutions on a CPU: the same result, 1.4 to 5 times faster in training."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class DilatedDepthwise(nn.Conv2d):
    """A dilated depthwise convolution that a CPU trains as an undilated one.

    With dilation d, an output position sees only inputs whose row and column differ from its own by
    multiples of d. The map therefore splits into d x d maps ("phases"), each of every d-th row and
    column, and on each of them the convolution is undilated. PyTorch has a fast backward pass for
    undilated depthwise convolutions on a CPU, but only a slow loop for dilated ones.

    Shape:
        - x, output: [B, C, H, W]
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve by phases on a CPU that will need the backward pass, and as usual elsewhere."""
        if x.is_cpu and torch.is_grad_enabled():
            return self._by_phases(x)
        return super().forward(x)

    def _by_phases(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        dh, dw = self.dilation
        # These zeros complete the last phase; the convolution's padding would have zeros there too.
        x = F.pad(x, (0, -width % dw, 0, -height % dh))  # [B, C, rows dh, columns dw]
        rows, columns = x.shape[2] // dh, x.shape[3] // dw
        phases = x.permute(0, 2, 3, 1).reshape(batch, rows, dh, columns, dw, channels)
        # [dh dw B, rows, columns, C]
        phases = phases.permute(2, 4, 0, 1, 3, 5).reshape(-1, rows, columns, channels)
        padding = [side // d for side, d in zip(self.padding, self.dilation, strict=True)]
        y = F.conv2d(
            phases.permute(0, 3, 1, 2), self.weight, self.bias, padding=padding, groups=self.groups
        )  # [dh dw B, C, rows, columns]
        y = y.permute(0, 2, 3, 1).reshape(dh, dw, batch, rows, columns, channels)
        y = y.permute(2, 3, 0, 4, 1, 5).reshape(batch, rows * dh, columns * dw, channels)
        return y.permute(0, 3, 1, 2)[:, :, :height, :width]  # [B, C, H, W]


def use_dilated_depthwise(module: nn.Module) -> None:
    """Make each dilated depthwise convolution in ``module`` a :class:`DilatedDepthwise`."""
    for child in module.modules():
        if type(child) is nn.Conv2d and _is_dilated_depthwise(child):
            child.__class__ = DilatedDepthwise


def _is_dilated_depthwise(conv: nn.Conv2d) -> bool:
    # The phases need the zeros around them that a convolution pads which keeps the map's size.
    same_size = tuple(d * (k // 2) for d, k in zip(conv.dilation, conv.kernel_size, strict=True))
    return (
        max(conv.dilation) > 1
        and conv.groups == conv.in_channels == conv.out_channels
        and conv.stride == (1, 1)
        and conv.padding_mode == 'zeros'
        and conv.padding == same_size
    )
