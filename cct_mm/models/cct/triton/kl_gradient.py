"""The gradient of KL(p(y) || p(y + u)) of all I-VAT decoders in one launch.

What ``cct/kl_gradient.py`` computes for one decoder: a program takes a block of positions of one
image and one decoder down the tree of ``decoder_pass.py``, with two maps instead of one, and the
gradient of the logits back up. The layers need no gradients here.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .blocks import (
    block_shape,
    child_of,
    child_tile,
    map_offsets,
    softmax,
    through_softmax,
    with_ones,
)
from .layout import Layers, to_leaves


def kl_gradient(
    y: Tensor,
    u: Tensor,
    layers: Layers,
    last_relu: bool,
    valid: Tensor,
    at_zero: bool,
    precision: str = 'ieee',
) -> Tensor:
    """Return the gradient with respect to u or, with ``at_zero``, the Hessian at 0 times u.

    Args:
        y: The output of the decoders' first layers.
        u: The direction in which it changes.
        layers: The decoders' sub-pixel layers.
        last_relu: See ``subpixel_decode``.
        valid: False on padding, which the divergence leaves out.
        at_zero: Whether u is a direction from 0, or the point.
        precision: As for ``decoder_pass``.

    Shape:
        - y, u, output: [K, B, c, h, w], float32
        - valid: [B, 1, h 2^n, w 2^n], bool
    """
    count, batch, channels, height, width = y.shape
    classes, doublings, positions = layers.classes, layers.doublings, height * width
    shape = block_shape(channels, classes, precision)
    gradient = torch.empty(y.shape, device=y.device)  # [K, B, c, h, w]
    _kl_gradient[(batch * triton.cdiv(positions, shape['BLOCK']), count)](
        y.contiguous(), u.contiguous(), layers.packed,
        to_leaves(valid, doublings, torch.uint8), gradient, batch, positions,
        N=doublings, CHANNELS=channels, CLASSES=classes, LAST_RELU=last_relu, AT_ZERO=at_zero,
        PRECISION=precision, **shape,
    )  # fmt: skip
    return gradient


@triton.jit
def _kl_gradient(
    y_ptr,  # [K, B, c, P]
    u_ptr,  # [K, B, c, P]
    layers_ptr,  # [K, T]
    valid_ptr,  # [B, 4^N, P]
    gradient_ptr,  # [K, B, c, P]
    batch,
    positions,
    N: tl.constexpr,
    CHANNELS: tl.constexpr,
    CLASSES: tl.constexpr,
    LAST_RELU: tl.constexpr,
    AT_ZERO: tl.constexpr,
    PRECISION: tl.constexpr,
    CP: tl.constexpr,
    LP: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Compute one block of one decoder; program (image and block, decoder)."""
    # Offsets can exceed 32 bits, and these make them 64-bit numbers.
    decoder = tl.program_id(1).to(tl.int64)
    blocks = tl.cdiv(positions, BLOCK)
    image = (tl.program_id(0) // blocks).to(tl.int64)
    start = tl.program_id(0) % blocks * BLOCK
    offsets, inside = map_offsets(start, positions, CHANNELS, BLOCK, CP)
    offsets += (decoder * batch + image) * CHANNELS * positions
    y = tl.load(y_ptr + offsets, inside, 0.0)  # [BLOCK, CP]
    other = tl.load(u_ptr + offsets, inside, 0.0)  # [BLOCK, CP]
    if not AT_ZERO:
        other = with_ones(y + other, CHANNELS, CP)
    T: tl.constexpr = 4 * CP * ((N - 1) * CP + LP)
    grad = _subtree(
        with_ones(y, CHANNELS, CP), other, image * 4**N, layers_ptr + decoder * T, valid_ptr,
        start, positions, 0, N, CLASSES, LAST_RELU, AT_ZERO, PRECISION, CP, LP, BLOCK,
    )  # fmt: skip
    tl.store(gradient_ptr + offsets, grad, inside)


@triton.jit
def _subtree(
    h,  # at y, with the channel of ones, [BLOCK, CP]
    other,  # at y + u, or AT_ZERO the tangent along u, [BLOCK, CP]
    leaf,  # the first leaf below, counted through all images
    layers_ptr,
    valid_ptr,
    start,  # the block's first position
    positions,
    LEVEL: tl.constexpr,
    N: tl.constexpr,
    CLASSES: tl.constexpr,
    LAST_RELU: tl.constexpr,
    AT_ZERO: tl.constexpr,
    PRECISION: tl.constexpr,
    CP: tl.constexpr,
    LP: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Return the gradient of the map that changes with u; calls itself with the next level."""
    grad = tl.zeros((BLOCK, CP), tl.float32)
    for s in range(4):
        weight = tl.load(layers_ptr + child_tile(s, LEVEL, N, CP, LP))
        child = child_of(h, weight, PRECISION)
        other_child = child_of(other, weight, PRECISION)
        below = leaf + s * 4 ** (N - 1 - LEVEL)
        if LEVEL < N - 1 or LAST_RELU:
            if AT_ZERO:
                other_child = tl.where(child > 0, other_child, 0.0)
            else:
                other_child = tl.maximum(other_child, 0.0)
            child = tl.maximum(child, 0.0)
        if LEVEL < N - 1:
            grad_child = _subtree(
                child, other_child, below, layers_ptr, valid_ptr, start, positions,
                LEVEL + 1, N, CLASSES, LAST_RELU, AT_ZERO, PRECISION, CP, LP, BLOCK,
            )  # fmt: skip
        else:
            pixel = tl.arange(0, BLOCK)  # [BLOCK]
            address = valid_ptr + below * positions + start + pixel
            valid = tl.load(address, pixel < positions - start, 0) != 0  # [BLOCK]
            prob, _ = softmax(child, CLASSES, LP)  # [BLOCK, LP]
            if AT_ZERO:
                grad_child = through_softmax(other_child, prob)
            else:
                other_prob, _ = softmax(other_child, CLASSES, LP)
                grad_child = other_prob - prob
            grad_child = tl.where(valid[:, None], grad_child, 0.0)
        if LEVEL < N - 1 or LAST_RELU:
            if AT_ZERO:
                grad_child = tl.where(child > 0, grad_child, 0.0)
            else:
                grad_child = tl.where(other_child > 0, grad_child, 0.0)
        # The weights are read again, so that they need no registers in between.
        weight = tl.load(layers_ptr + child_tile(s, LEVEL, N, CP, LP))
        grad = tl.dot(grad_child, weight, grad, input_precision=PRECISION)
    return grad
