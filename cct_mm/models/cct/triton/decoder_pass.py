"""From the output of the decoders' first layers to the losses and back, in one launch.

A program takes a block of positions of one image and one decoder at a time. It walks their tree
depth first: a map of the block, then its four children one after another, down to the logits of one
leaf. There it computes the losses and the gradient of the logits, and on the way back up the
gradients of the layers and of the maps. No map of the decoders reaches the GPU's memory, except
what enters and the gradient that leaves.

Each program adds up the gradients of the layers in a slot of its own, because registers do not hold
them, and ``torch.sum`` adds up the slots.

Eq. 10 compares the predictions of several decoders; their mean comes from a launch before.

It is best read in this order: :func:`decoder_pass`, ``_decoder_pass``, ``_subtree`` and ``_leaf``.
The shapes use the letters of ``layout.py`` and ``blocks.py``; N is n and P are the h w positions.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from cct_mm.models.cct.decoder_pass import PassResult

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

PROGRAMS = 512
"""Most programs of a launch: about four for each of the some 130 multiprocessors of a large GPU.

Each loops over several blocks, so there are few slots however large the maps are.
"""


def decoder_pass(
    y: Tensor,
    layers: Layers,
    last_relu: bool,
    prob: Tensor,
    position_weight: Tensor,
    *,
    distance: str = 'mse',
    distance_factor: float = 1.0,
    labels: Tensor | None = None,
    weak_position_weight: Tensor | None = None,
    weak_factor: float = 0.0,
    share: Tensor | None = None,
    pairwise_factor: float = 0.0,
    precision: str = 'ieee',
    programs: int = PROGRAMS,
) -> PassResult:
    """Compute the losses of all decoders, and the gradients of their sum with these factors.

    Args:
        y: The output of the decoders' first layers.
        layers: Their sub-pixel layers.
        last_relu: See ``subpixel_decode``.
        prob: y^u, the main head's probabilities.
        position_weight: From ``ConsistencyLoss.position_weight``.
        distance: One of ``support.DISTANCES``.
        distance_factor: Factor of the sum of the distances, in the gradients only.
        labels: Pseudo-labels y_p of L_w, 255 where there is none; None without L_w.
        weak_position_weight: From the function of this name, 0 where a label is 255.
        weak_factor: Factor of the sum of the weak cross-entropies, in the gradients only.
        share: 1 / number of decoders that Eq. 10 compares for these, 0 for the others; None without
            it.
        pairwise_factor: Factor of L_P-Wise, in the gradients only.
        precision: ``input_precision`` of ``tl.dot``: 'ieee', 'tf32' or 'tf32x3'.
        programs: Most programs of the launch, if at least one for each decoder.

    Shape:
        - y: [K, B, c, h, w], float32
        - prob: [B, C, h 2^n, w 2^n]
        - position_weight, labels, weak_position_weight: [B, h 2^n, w 2^n]
        - share: [K], float32
    """
    count, batch, channels, height, width = y.shape
    classes, doublings, positions = layers.classes, layers.doublings, height * width
    y, packed = y.contiguous(), layers.packed  # [K, B, c, h, w], [K, T]
    target = to_leaves(prob, doublings, torch.float32)  # [B, 4^n, P, C]
    shape = block_shape(channels, classes, precision)
    blocks = batch * triton.cdiv(positions, shape['BLOCK'])
    # Each program computes the same number of blocks, or one less.
    slots = triton.cdiv(blocks, triton.cdiv(blocks * count, programs))

    def pixels(x: Tensor | None, dtype: torch.dtype) -> Tensor:
        # [B, 4^n, P, 1]; where there is none nothing is read, and any tensor will do
        return y if x is None else to_leaves(x, doublings, dtype)

    mean = y
    if share is not None:
        mean = torch.empty_like(target)  # [B, 4^n, P, C]
        _mean_probability[(blocks, 4**doublings)](
            y, packed, share, mean, count, batch, positions,
            N=doublings, CHANNELS=channels, CLASSES=classes, LAST_RELU=last_relu,
            PRECISION=precision, **shape,
        )  # fmt: skip
    # The images are the first axis, as the products with z want it.
    grad_y = y.new_empty(batch, count, *y.shape[2:])  # [B, K, c, h, w]
    grad_layers = packed.new_zeros(count, slots, packed.shape[1])  # [K, slots, T]
    sums = packed.new_empty(3, count, slots)  # [3, K, slots]
    _decoder_pass[(slots, count)](
        y, packed, target, pixels(position_weight, torch.float32),
        pixels(labels, torch.uint8), pixels(weak_position_weight, torch.float32),
        y if share is None else share, mean, grad_y, grad_layers, sums,
        count, batch, positions,
        float(distance_factor), float(weak_factor), float(pairwise_factor),
        N=doublings, CHANNELS=channels, CLASSES=classes, DISTANCE=distance, LAST_RELU=last_relu,
        WEAK=labels is not None, PAIRWISE=share is not None, PRECISION=precision, **shape,
    )  # fmt: skip
    distances, weak, pairwise = sums.sum(dim=2)  # [K] each
    gradients = layers.unpack(grad_layers.sum(dim=1))
    return PassResult(
        distances,
        None if labels is None else weak,
        None if share is None else pairwise.sum(),
        grad_y.transpose(0, 1),
        *gradients,
    )


@triton.jit
def _decoder_pass(
    y_ptr,  # [K, B, c, P]
    layers_ptr,  # [K, T]
    target_ptr,  # [B, 4^N, P, C]
    weight_ptr,  # [B, 4^N, P]
    label_ptr,  # [B, 4^N, P]
    weak_weight_ptr,  # [B, 4^N, P]
    share_ptr,  # [K]
    mean_ptr,  # [B, 4^N, P, C]
    grad_y_ptr,  # [B, K, c, P]
    grad_layers_ptr,  # [K, slots, T]
    sums_ptr,  # [3, K, slots]
    count,
    batch,
    positions,
    distance_factor,
    weak_factor,
    pairwise_factor,
    N: tl.constexpr,
    CHANNELS: tl.constexpr,
    CLASSES: tl.constexpr,
    DISTANCE: tl.constexpr,
    LAST_RELU: tl.constexpr,
    WEAK: tl.constexpr,
    PAIRWISE: tl.constexpr,
    PRECISION: tl.constexpr,
    CP: tl.constexpr,
    LP: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Compute one decoder for every slots-th block; program (slot, decoder)."""
    # Offsets can exceed 32 bits, and these make them 64-bit numbers.
    decoder = tl.program_id(1).to(tl.int64)
    slots = tl.num_programs(0)
    place = decoder * slots + tl.program_id(0)
    T: tl.constexpr = 4 * CP * ((N - 1) * CP + LP)
    share = 0.0  # of this decoder in L_P-Wise
    if PAIRWISE:
        share = tl.load(share_ptr + decoder)
    pointers = (
        layers_ptr + decoder * T, grad_layers_ptr + place * T,
        target_ptr, weight_ptr, label_ptr, weak_weight_ptr, mean_ptr,
    )  # fmt: skip
    factors = (distance_factor, weak_factor, pairwise_factor, share)
    zeros = tl.zeros((BLOCK,), tl.float32)
    sums = (zeros, zeros, zeros)
    blocks = tl.cdiv(positions, BLOCK)
    for block in range(tl.program_id(0), batch * blocks, slots):
        image = (block // blocks).to(tl.int64)
        start = block % blocks * BLOCK
        offsets, inside = map_offsets(start, positions, CHANNELS, BLOCK, CP)
        y = y_ptr + (decoder * batch + image) * CHANNELS * positions
        h = with_ones(tl.load(y + offsets, inside, 0.0), CHANNELS, CP)
        grad, sums = _subtree(
            h, image * 4**N, sums, pointers, factors, start, positions,
            0, N, CLASSES, DISTANCE, LAST_RELU, WEAK, PAIRWISE, PRECISION, CP, LP, BLOCK,
        )  # fmt: skip
        grad_y = grad_y_ptr + (image * count + decoder) * CHANNELS * positions
        tl.store(grad_y + offsets, grad, inside)
    for i in tl.static_range(3):
        tl.store(sums_ptr + i * count * slots + place, tl.sum(sums[i], axis=0))


@triton.jit
def _subtree(
    h,  # with the channel of ones; it and its gradient are [BLOCK, CP]
    leaf,  # the first leaf below, counted through all images
    sums,  # the losses before, [BLOCK] each
    pointers,  # to the layers, their gradients and the maps of pixels
    factors,  # of the losses, and the decoder's share in L_P-Wise
    start,  # the block's first position
    positions,
    LEVEL: tl.constexpr,
    N: tl.constexpr,
    CLASSES: tl.constexpr,
    DISTANCE: tl.constexpr,
    LAST_RELU: tl.constexpr,
    WEAK: tl.constexpr,
    PAIRWISE: tl.constexpr,
    PRECISION: tl.constexpr,
    CP: tl.constexpr,
    LP: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Return the gradient of the map h, and the losses with those of the leaves below it.

    The function calls itself with the next level, a constant; each level is compiled once.
    """
    grad = tl.zeros((BLOCK, CP), tl.float32)
    for s in range(4):
        offsets = child_tile(s, LEVEL, N, CP, LP)
        child = child_of(h, tl.load(pointers[0] + offsets), PRECISION)
        below = leaf + s * 4 ** (N - 1 - LEVEL)
        if LEVEL == N - 1:
            if LAST_RELU:
                child = tl.maximum(child, 0.0)
            grad_child, sums = _leaf(
                child, below * positions + start, sums, pointers, factors, positions - start,
                CLASSES, DISTANCE, WEAK, PAIRWISE, LP, BLOCK,
            )  # fmt: skip
            if LAST_RELU:
                grad_child = tl.where(child > 0, grad_child, 0.0)
        else:
            child = tl.maximum(child, 0.0)
            grad_child, sums = _subtree(
                child, below, sums, pointers, factors, start, positions,
                LEVEL + 1, N, CLASSES, DISTANCE, LAST_RELU, WEAK, PAIRWISE, PRECISION,
                CP, LP, BLOCK,
            )  # fmt: skip
            grad_child = tl.where(child > 0, grad_child, 0.0)
        # The weights are read again, so that they need no registers in between.
        weight = tl.load(pointers[0] + offsets)
        grad = tl.dot(grad_child, weight, grad, input_precision=PRECISION)
        part = tl.dot(tl.trans(grad_child), h, input_precision=PRECISION)
        _add_to_slot(pointers[1] + offsets, part)
    return grad, sums


@triton.jit
def _add_to_slot(address, value):
    """Add to what only this program reads and writes; its threads wait for one another."""
    before = tl.load(address)
    tl.debug_barrier()
    tl.store(address, before + value)
    tl.debug_barrier()


@triton.jit
def _leaf(
    logits,  # 0 in the padding; they and their gradient are [BLOCK, LP]
    row,  # where the block's first pixel is in the maps of pixels
    sums,  # as in _subtree
    pointers,
    factors,
    rows,  # as many rows of the block as are positions, or more
    CLASSES: tl.constexpr,
    DISTANCE: tl.constexpr,
    WEAK: tl.constexpr,
    PAIRWISE: tl.constexpr,
    LP: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Return the gradient of the logits of one leaf, and the losses with its own."""
    _, _, target_ptr, weight_ptr, label_ptr, weak_weight_ptr, mean_ptr = pointers
    distance_factor, weak_factor, pairwise_factor, share = factors
    distances, weak, pairwise = sums
    pixel = tl.arange(0, BLOCK)  # [BLOCK]
    classes = tl.arange(0, LP)[None, :]  # [1, LP]
    offsets = pixel[:, None] * CLASSES + classes  # [BLOCK, LP]
    inside = (pixel < rows)[:, None] & (classes < CLASSES)  # [BLOCK, LP]
    target = tl.load(target_ptr + row * CLASSES + offsets, inside, 0.0)  # [BLOCK, LP]
    weight = tl.load(weight_ptr + row + pixel, pixel < rows, 0.0)  # [BLOCK]

    prob, log_prob = softmax(logits, CLASSES, LP)  # [BLOCK, LP] each
    value, grad, grad_prob = _distance(target, prob, log_prob, DISTANCE)
    distances += value * weight
    grad *= (distance_factor * weight)[:, None]
    grad_prob *= (distance_factor * weight)[:, None]
    if PAIRWISE:
        weight = weight * share
        # Nothing is read for a decoder that is not compared.
        compared = inside & (weight > 0)[:, None]  # [BLOCK, LP]
        error = prob - tl.load(mean_ptr + row * CLASSES + offsets, compared, 0.0)  # [BLOCK, LP]
        pairwise += weight * tl.sum(error * error, axis=1)
        grad_prob += error * (2 * pairwise_factor * weight)[:, None]
    if WEAK:
        label = tl.load(label_ptr + row + pixel, pixel < rows, 255).to(tl.int32)  # [BLOCK]
        weak_weight = tl.load(weak_weight_ptr + row + pixel, pixel < rows, 0.0)  # [BLOCK]
        is_label = label[:, None] == classes  # [BLOCK, LP]
        weak -= weak_weight * tl.sum(tl.where(is_label, log_prob, 0.0), axis=1)
        grad += tl.where(is_label, prob - 1, prob) * (weak_factor * weak_weight)[:, None]
    return grad + through_softmax(grad_prob, prob), (distances, weak, pairwise)


@triton.jit
def _distance(target, prob, log_prob, DISTANCE: tl.constexpr):
    """Return a distance and its gradient, a part for the logits and one for the probabilities.

    The formulas are those of ``losses/consistency.py``.

    Shape:
        - target, prob, log_prob and the gradients: [BLOCK, LP]
        - the distance: [BLOCK]
    """
    if DISTANCE == 'mse':
        error = prob - target
        value = tl.sum(error * error, axis=1)
        grad, grad_prob = tl.zeros_like(prob), 2 * error
    elif DISTANCE == 'kl':
        value = tl.sum(target * (_log(target) - log_prob), axis=1)
        grad, grad_prob = prob - target, tl.zeros_like(prob)
    else:
        tl.static_assert(DISTANCE == 'js')
        log_mean = _log(0.5 * (target + prob))
        half_log_ratio = 0.5 * (log_prob - log_mean)
        to_target = target * (0.5 * (_log(target) - log_mean))
        value = tl.sum(to_target + prob * half_log_ratio, axis=1)
        grad, grad_prob = tl.zeros_like(prob), half_log_ratio
    return value, grad, grad_prob


@triton.jit
def _log(x):
    """Return a finite logarithm, whose product with x is 0 where x is 0."""
    return tl.log(tl.maximum(x, 1.2e-38))  # near the smallest normal number


@triton.jit
def _mean_probability(
    y_ptr,  # [K, B, c, P]
    layers_ptr,  # [K, T]
    share_ptr,  # [K]
    mean_ptr,  # [B, 4^N, P, C]
    count,
    batch,
    positions,
    N: tl.constexpr,
    CHANNELS: tl.constexpr,
    CLASSES: tl.constexpr,
    LAST_RELU: tl.constexpr,
    PRECISION: tl.constexpr,
    CP: tl.constexpr,
    LP: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Write the mean of the compared decoders' predictions; program (image and block, leaf)."""
    T: tl.constexpr = 4 * CP * ((N - 1) * CP + LP)
    blocks = tl.cdiv(positions, BLOCK)
    image = (tl.program_id(0) // blocks).to(tl.int64)
    start = tl.program_id(0) % blocks * BLOCK
    leaf = tl.program_id(1)
    offsets, inside = map_offsets(start, positions, CHANNELS, BLOCK, CP)
    total = tl.zeros((BLOCK, LP), tl.float32)
    for decoder in range(count):
        share = tl.load(share_ptr + decoder)
        if share > 0:
            y = y_ptr + (tl.cast(decoder, tl.int64) * batch + image) * CHANNELS * positions
            h = with_ones(tl.load(y + offsets, inside, 0.0), CHANNELS, CP)
            for level in tl.static_range(N):
                s = leaf // 4 ** (N - 1 - level) % 4
                weight = tl.load(layers_ptr + decoder * T + child_tile(s, level, N, CP, LP))
                h = child_of(h, weight, PRECISION)
                if LAST_RELU or level < N - 1:
                    h = tl.maximum(h, 0.0)
            prob, _ = softmax(h, CLASSES, LP)
            total += share * prob
    pixel = tl.arange(0, BLOCK)[:, None]  # [BLOCK, 1]
    classes = tl.arange(0, LP)[None, :]  # [1, LP]
    row = (image * 4**N + leaf) * positions + start
    tl.store(
        mean_ptr + row * CLASSES + pixel * CLASSES + classes,
        total,
        (start + pixel < positions) & (classes < CLASSES),
    )
