"""The sub-pixel decoders as trees over positions: forward and backward without a single shuffle.

A decoder consists of 1x1 convolutions and 2x2 shuffles. So each position of z yields its own
stride x stride block of pixels and sees no other position: every sub-pixel layer splits a position
into four children. The maps of G decoders are kept as ``[G, channels, positions]``. A sub-pixel
convolution is then one batched matrix product to ``[G, 4 channels, positions]``, in which row
4 c + s holds channel c of child s of every position. Its shuffle is a view of the product as
``[G, channels, 4 positions]``, which moves no data.

After n such layers the pixels are in *tree order*: the child s_n of the last layer changes
slowest, then s_{n-1} and so on to s_1, and the position changes fastest. A sum over pixels does not
depend on their order, so the losses are computed in tree order. Only the target has to be brought
into it (:func:`to_tree`), once for all decoders.

Every map except the logits has an additional last channel of ones. A bias is then one more column
of its layer's weights (:func:`with_bias`), so the matrix products add it, and sum its gradient.

In the shapes, c channels and P positions enter the first sub-pixel layer, the i-th layer has c_i
output channels (c_0 = c), and the last has C, one for each class.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def to_tree(x: Tensor, doublings: int) -> Tensor:
    """Bring full-resolution maps into tree order.

    Args:
        x: Maps of the size of the decoders' output.
        doublings: n, the number of sub-pixel convolutions.

    Shape:
        - x: [B, c, h 2^n, w 2^n]
        - output: [c, 4^n B h w]
    """
    side = 2**doublings
    x = x.unflatten(3, (x.shape[3] // side, *[2] * doublings))  # [B, c, h 2^n, w, 2, ..., 2]
    x = x.unflatten(2, (x.shape[2] // side, *[2] * doublings))  # [B, c, h, 2, ..., 2, w, 2, ..., 2]
    # The first run of twos is dy of the levels 1 to n, and the second is dx of them.
    rows, columns = 3, 4 + doublings
    children = [
        axis for level in reversed(range(doublings)) for axis in (rows + level, columns + level)
    ]
    # [c, 2, ..., 2, B, h, w] before it is flattened
    return x.permute(1, *children, 0, 2, 3 + doublings).reshape(x.shape[1], -1)


def with_ones(y: Tensor) -> Tensor:
    """Append the channel of ones to y.

    Shape:
        - y: [G, c, ...], P positions
        - output: [G, c + 1, P]
    """
    result = y.new_ones(len(y), y.shape[1] + 1, *y.shape[2:])
    result[:, :-1] = y
    return result.flatten(2)


def with_bias(weights: Sequence[Tensor], biases: Sequence[Tensor]) -> list[Tensor]:
    """Append each sub-pixel layer's bias to its weights, as the weight of the channel of ones.

    All layers except the last get four more rows, which yield the ones of the four children.

    Shape:
        - weights: [G, 4 c_out, c_in] each
        - biases: [G, 4 c_out] each
        - output: [G, 4 c_out + 4, c_in + 1] each, the last [G, 4 c_out, c_in + 1]
    """
    layers = [
        torch.cat([weight, bias.unsqueeze(2)], dim=2)  # [G, 4 c_out, c_in + 1]
        for weight, bias in zip(weights, biases, strict=True)
    ]
    for i, layer in enumerate(layers[:-1]):
        ones = layer.new_zeros(len(layer), 4, layer.shape[2])
        ones[:, :, -1] = 1
        layers[i] = torch.cat([layer, ones], dim=1)
    return layers


def without_bias(layers: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Undo :func:`with_bias`: return the weights and biases of layers, or of their gradients.

    Shape:
        - layers: [G, 4 c_out + 4, c_in + 1] each, the last [G, 4 c_out, c_in + 1]
        - output: [G, 4 c_out, c_in] each and [G, 4 c_out] each
    """
    rows = [layer.shape[1] - 4 for layer in layers[:-1]] + [layers[-1].shape[1]]
    weights = [layer[:, :n, :-1] for layer, n in zip(layers, rows, strict=True)]
    return weights, [layer[:, :n, -1] for layer, n in zip(layers, rows, strict=True)]


def forward(y: Tensor, layers: Sequence[Tensor], last_relu: bool) -> list[Tensor]:
    """Return the input of every sub-pixel layer and, last, the logits.

    Args:
        y: Output of the first layers, from :func:`with_ones`.
        layers: From :func:`with_bias`.
        last_relu: Whether a ReLU follows the last layer too.

    Shape:
        - y: [G, c + 1, P]
        - output: [G, c_i + 1, 4^i P] each for i = 0, ..., n - 1, and [G, C, 4^n P]
    """
    maps = [y]
    for i, layer in enumerate(layers):
        y = torch.bmm(layer, y)  # [G, 4 c_{i+1} + 4, 4^i P]
        if last_relu or i < len(layers) - 1:
            y = y.relu_()
        y = y.view(len(y), layer.shape[1] // 4, -1)  # [G, c_{i+1} + 1, 4^{i+1} P]
        maps.append(y)
    return maps


def backward(
    grad: Tensor,
    maps: Sequence[Tensor],
    layers: Sequence[Tensor],
    last_relu: bool,
    grad_layers: Sequence[Tensor] | None = None,
) -> Tensor:
    """Propagate a gradient of the logits back to y, and add up the layers' gradients.

    Args:
        grad: Gradient of the logits.
        maps: From :func:`forward`.
        layers: As in :func:`forward`.
        last_relu: As in :func:`forward`.
        grad_layers: The layers' gradients, transposed, are added to these tensors; None leaves them
            out. (That product is half as fast again on a CPU as the one that is not transposed.)

    Shape:
        - grad: [G, C, 4^n P]
        - grad_layers: [G, c_in + 1, 4 c_out + 4] each, the last [G, c_in + 1, 4 C]
        - output: [G, c + 1, P], whose last channel, of the ones, has no meaning
    """
    for i in reversed(range(len(layers))):
        if last_relu or i < len(layers) - 1:
            grad = torch.ops.aten.threshold_backward(grad, maps[i + 1], 0)
        grad = grad.view(len(grad), layers[i].shape[1], -1)  # [G, 4 c_{i+1} + 4, 4^i P]
        if grad_layers is not None:
            grad_layers[i].baddbmm_(maps[i], grad.mT)
        grad = torch.bmm(layers[i].mT, grad)  # [G, c_i + 1, 4^i P]
    return grad


def tangent(u: Tensor, maps: Sequence[Tensor], layers: Sequence[Tensor], last_relu: bool) -> Tensor:
    """Return the Jacobian of the logits with respect to y times a direction u.

    Args:
        u: The direction, which is 0 in the channel of ones.
        maps: From :func:`forward` at the point y.
        layers: As in :func:`forward`.
        last_relu: As in :func:`forward`.

    Shape:
        - u: [G, c + 1, P]
        - output: [G, C, 4^n P]
    """
    for i, layer in enumerate(layers):
        u = torch.bmm(layer, u)  # [G, 4 c_{i+1} + 4, 4^i P]
        u = u.view(len(u), layer.shape[1] // 4, -1)  # [G, c_{i+1} + 1, 4^{i+1} P]
        if last_relu or i < len(layers) - 1:
            u = torch.ops.aten.threshold_backward(u, maps[i + 1], 0)
    return u
