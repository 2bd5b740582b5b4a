"""The decoder g: a 1x1 convolution, then sub-pixel convolutions (paper, Section 4.1, Table 11).

The main head and the auxiliary decoders are the same small network, :func:`subpixel_decode`.
:class:`SubPixelHead` makes it an mmseg decode head, and ``cct/auxiliary_bank.py`` holds K of them
in stacked weights.
"""

import math
from collections.abc import Sequence

import torch
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F


def num_doublings(stride: int, owner: str) -> int:
    """Return n for ``stride = 2^n``: the number of sub-pixel convolutions.

    Args:
        stride: Input pixels per position of z, a power of two >= 2.
        owner: Name of the module whose stride it is, for the error message.

    Raises:
        ValueError: If the stride is not a power of two.
    """
    doublings = int(math.log2(stride)) if stride > 1 else 0
    if doublings < 1 or 2**doublings != stride:
        raise ValueError(
            f'{owner}: stride is {stride}, expected a power of two >= 2 (each sub-pixel '
            'convolution doubles the size); set it to the stride of the encoder, 8 for a -d8 '
            'backbone'
        )
    return doublings


def subpixel_shapes(
    in_channels: int, channels: int, num_classes: int, doublings: int
) -> list[tuple[int, int]]:
    """Return the shapes [out, in] of all weights: the first layer's, then the sub-pixel layers'."""
    hidden = [(4 * channels, channels)] * (doublings - 1)
    return [(channels, in_channels), *hidden, (4 * num_classes, channels)]


@torch.no_grad()
def init_subpixel_(weights: Sequence[Tensor], biases: Sequence[Tensor]) -> None:
    """Initialize one decoder in place: Kaiming normal, with ICNR for the sub-pixel convolutions.

    ICNR gives the four outputs that become one 2x2 block the same weights, so that the network
    starts as nearest-neighbor upsampling, without a checkerboard. The biases are PyTorch's default,
    different for each of the four, as in the released code.

    Shape:
        - weights: [c, D] of the first layer, then [4 c_out, c_in] of each sub-pixel convolution
        - biases: [4 c_out] of each sub-pixel convolution
    """
    nn.init.kaiming_normal_(weights[0], nonlinearity='relu')
    for weight, bias in zip(weights[1:], biases, strict=True):
        kernel = torch.empty(weight.shape[0] // 4, weight.shape[1])
        nn.init.kaiming_normal_(kernel, nonlinearity='relu')
        weight.copy_(kernel.repeat_interleave(4, dim=0))  # [4 c_out, c_in]
        bound = weight.shape[1] ** -0.5
        bias.uniform_(-bound, bound)


def subpixel_decode(
    y: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], last_relu: bool
) -> Tensor:
    """Return the logits at the image's size: n times a 1x1 convolution, ReLU and PixelShuffle.

    Args:
        y: The output of the first 1x1 convolution, which has neither bias nor ReLU.
        weights: The weights of the n sub-pixel convolutions.
        biases: Their biases.
        last_relu: Keep the ReLU after the last convolution too, as the released code does; it makes
            all logits >= 0.

    Shape:
        - y: [B, channels, h, w]
        - weights: [4 c_out, c_in] each
        - biases: [4 c_out] each
        - output: [B, num_classes, h 2^n, w 2^n]
    """
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        y = F.conv2d(y, weight[:, :, None, None], bias)  # [B, 4 c_out, h 2^i, w 2^i]
        if last_relu or i < len(weights) - 1:
            y = F.relu(y)
        y = F.pixel_shuffle(y, 2)  # [B, c_out, h 2^(i + 1), w 2^(i + 1)]
    return y


@MODELS.register_module()
class SubPixelHead(BaseDecodeHead):
    """The main head g: 1x1 convolution to ``channels``, then log2(stride) sub-pixel convolutions.

    Args:
        in_channels: Channels D of z.
        num_classes: Number of classes C.
        stride: Input pixels per position of z, a power of two.
        channels: Hidden width; None means the number of classes, as in the paper. That is cheap
            but narrow: with few classes a wider head learns better.
        last_relu: See :func:`subpixel_decode`; the released code has True.
        **kwargs: As for mmseg's ``BaseDecodeHead`` (``in_index``, ``loss_decode``, ...), where
            ``dropout_ratio``, of the channels of z, is 0 unless given. Its convolutions are its
            own: ``conv_cfg``, ``norm_cfg``, ``act_cfg`` and ``init_cfg`` have no effect.

    Shape:
        - inputs: sequence of maps, of which ``in_index`` is [B, in_channels, h, w]
        - output: [B, num_classes, h stride, w stride]

    Raises:
        ValueError: If ``stride`` is not a power of two.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        num_classes: int,
        stride: int = 8,
        channels: int | None = None,
        last_relu: bool = False,
        **kwargs,
    ) -> None:
        channels = channels or num_classes
        kwargs = {'in_index': -1, 'dropout_ratio': 0, **kwargs, 'init_cfg': None}
        super().__init__(in_channels, channels, num_classes=num_classes, **kwargs)
        # The last sub-pixel convolution replaces mmseg's final convolution, and DDP refuses
        # parameters that get no gradient.
        del self.conv_seg
        self.stride = stride
        self.last_relu = last_relu
        doublings = num_doublings(stride, 'SubPixelHead')
        shapes = subpixel_shapes(in_channels, channels, num_classes, doublings)
        self.weights = nn.ParameterList(torch.empty(shape) for shape in shapes)
        self.biases = nn.ParameterList(torch.empty(shape[0]) for shape in shapes[1:])
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize the weights again, see :func:`init_subpixel_`."""
        init_subpixel_(self.weights, self.biases)

    def init_weights(self) -> None:
        """Do nothing: the constructor has initialized the weights."""

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return logits at the size of the encoder's input."""
        z = self._transform_inputs(inputs)  # [B, D, h, w]
        if self.dropout is not None:
            z = self.dropout(z)
        y = F.conv2d(z, self.weights[0][:, :, None, None])  # [B, channels, h, w]
        return subpixel_decode(y, self.weights[1:], self.biases, self.last_relu)
