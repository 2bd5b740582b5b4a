"""How a decoder's prediction changes with the output of its first layer, which I-VAT needs."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from . import decoder_tree
from .chunks import cut_into_chunks
from .perturbations.base import conv1x1


@dataclass
class KLGradient:
    """Compute the gradient of KL(p(y) || p(y + u)) with respect to u, for G decoders.

    Here y = W z is the output of a decoder's first layer, p is the softmax of its logits, and
    the divergence is summed over an image. It is ``Context.kl_gradient`` in the fused path.

    Args:
        z: The encoder's output.
        first: W, the decoders' first layers.
        layers: Their sub-pixel layers, from ``decoder_tree.with_bias``.
        last_relu: See ``decoder_tree.forward``.
        valid: False on padding, which the divergence leaves out.
        chunk_elements: Numbers in the logits of one chunk; chunks are computed one after another.

    Shape:
        - z: [B, D, h, w]
        - first: [G, c, D]
        - layers: [G, 4 c_out + 4, c_in + 1] each, the last [G, 4 C, c_in + 1]
        - valid: [B, 1, H, W]
    """

    z: Tensor
    first: Tensor
    layers: Sequence[Tensor]
    last_relu: bool
    valid: Tensor
    chunk_elements: int

    def __call__(self, u: Tensor, at_zero: bool) -> Tensor:
        """Return the gradient at u or, with ``at_zero``, the divergence's Hessian at 0 times u.

        Shape:
            - u, output: [G, B, c, h, w]
        """
        y = conv1x1(self.z, self.first)  # [G, B, c, h, w]
        gradient = torch.empty_like(u)  # [G, B, c, h, w]
        doublings = len(self.layers)
        by_position = len(u) * self.layers[-1].shape[1] // 4 * 4**doublings  # G C 4^n
        most = max(1, self.chunk_elements // by_position)
        for chunk in cut_into_chunks({'valid': self.valid.squeeze(1)}, doublings, most):
            # [G, c, P] of [G, c, b, rows, columns] each
            grad = self._in_chunk(chunk.crop(y), chunk.crop(u), at_zero, chunk.valid)
            part = chunk.crop(gradient)  # [G, c, b, rows, columns]
            part.copy_(grad.view(part.shape))
        return gradient

    def _in_chunk(self, y: Tensor, u: Tensor, at_zero: bool, valid: Tensor) -> Tensor:
        """Return the gradient for the positions of one chunk.

        Shape:
            - y, u: [G, c, ...], P positions
            - output: [G, c, P]
            - valid: [4^n P]
        """
        maps = self._forward(y)  # [G, c_i + 1, 4^i P] each, the last [G, C, 4^n P]
        prob = maps[-1].softmax(dim=1)  # [G, C, 4^n P]
        if at_zero:
            # The Hessian is J^T (diag(p) - p p^T) J, where J is the Jacobian of the logits.
            u = F.pad(u.flatten(2), (0, 0, 0, 1))  # [G, c + 1, P], zero in the channel of ones
            change = decoder_tree.tangent(u, maps, self.layers, self.last_relu)  # [G, C, 4^n P]
            grad = prob * (change - (prob * change).sum(dim=1, keepdim=True))  # [G, C, 4^n P]
        else:
            maps = self._forward(y + u)  # as above
            grad = maps[-1].softmax(dim=1) - prob  # [G, C, 4^n P]
        grad = decoder_tree.backward(grad * valid, maps, self.layers, self.last_relu)
        return grad[:, :-1]  # [G, c, P] of [G, c + 1, P]

    def _forward(self, y: Tensor) -> list[Tensor]:
        return decoder_tree.forward(decoder_tree.with_ones(y), self.layers, self.last_relu)
