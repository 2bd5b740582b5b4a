"""The sub-pixel decoders as per-position trees: forward and backward without a single shuffle.

A decoder is 1x1 convolutions and 2x2 shuffles, so a position of z makes its own stride x stride
block of pixels and sees no other position. Kept as ``[G, channels, positions]`` (G decoders side by
side), a sub-pixel convolution is one batched matrix product to ``[G, 4 channels, positions]``, and
its shuffle is a view as ``[G, channels, 4 positions]``: the row c * 4 + s of the product holds
child s of every position. After n of them the pixels stand in *tree order*, ``s_n, ..., s_1,
position``, in which everything that is a sum over pixels can be computed; the target is brought
into it once.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def to_tree(x: Tensor, doublings: int) -> Tensor:
    """Bring a full-resolution map into tree order.

    Args:
        x: Any map at the decoders' output size.
        doublings: n, the number of sub-pixel convolutions.

    Shape:
        - x: [B, c, h 2^n, w 2^n]
        - output: [B, c, 4^n, h w]
    """
    batch, channels, height, width = x.shape
    side = 2**doublings
    x = x.view(batch, channels, height // side, *[2] * doublings, width // side, *[2] * doublings)
    # Axes: 0 B, 1 c, 2 h, then dy of levels 1..n, then w, then dx of levels 1..n.
    rows, columns = 3, 4 + doublings
    children = [
        axis for level in reversed(range(doublings)) for axis in (rows + level, columns + level)
    ]
    x = x.permute(0, 1, *children, 2, 3 + doublings)
    return x.reshape(batch, channels, 4**doublings, -1)


def forward(
    y: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], last_relu: bool
) -> list[Tensor]:
    """Return the input of every sub-pixel layer and, last, the logits.

    Args:
        y: Output of the first layers.
        weights: Of each sub-pixel layer.
        biases: Of each.
        last_relu: Whether a ReLU follows the last layer too.

    Shape:
        - y: [G, c, P]
        - weights: [G, 4 c_out, c_in] each, biases: [G, 4 c_out] each
        - output: [G, c_i, 4^i P] for i = 0, ..., n
    """
    maps = [y]
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        y = torch.baddbmm(bias.unsqueeze(2), weight, y)
        if last_relu or i < len(weights) - 1:
            y = y.relu_()
        y = y.view(len(y), weight.shape[1] // 4, -1)
        maps.append(y)
    return maps


def backward(
    grad: Tensor,
    maps: Sequence[Tensor],
    weights: Sequence[Tensor],
    last_relu: bool,
    grad_weights: Sequence[Tensor] | None = None,
    grad_biases: Sequence[Tensor] | None = None,
) -> Tensor:
    """Pull a gradient of the logits back to y, adding to the layers' gradients on the way.

    Args:
        grad: Gradient of the logits; may be overwritten.
        maps: From :func:`forward`.
        weights: As in :func:`forward`.
        last_relu: As in :func:`forward`.
        grad_weights: Where the weights' gradients are added, or None where they are not wanted.
        grad_biases: Likewise.

    Shape:
        - grad: [G, C, 4^n P]
        - output: [G, c, P]
    """
    for i in reversed(range(len(weights))):
        if last_relu or i < len(weights) - 1:
            grad = torch.ops.aten.threshold_backward(grad, maps[i + 1], 0)
        grad = grad.view(len(grad), weights[i].shape[1], -1)
        if grad_weights is not None:
            grad_weights[i].baddbmm_(grad, maps[i].transpose(1, 2))
            grad_biases[i].add_(grad.sum(dim=2))
        grad = torch.bmm(weights[i].transpose(1, 2), grad)
    return grad


def tangent(
    u: Tensor, maps: Sequence[Tensor], weights: Sequence[Tensor], last_relu: bool
) -> Tensor:
    """Push a direction u of y forward to the logits: the Jacobian times u.

    Args:
        u: [G, c, P].
        maps: From :func:`forward` at the point y.
        weights: As in :func:`forward`.
        last_relu: As in :func:`forward`.

    Shape:
        - output: [G, C, 4^n P]
    """
    for i, weight in enumerate(weights):
        u = torch.bmm(weight, u)
        u = u.view(len(u), weight.shape[1] // 4, -1)
        if last_relu or i < len(weights) - 1:
            u = torch.ops.aten.threshold_backward(u, maps[i + 1], 0)
    return u
