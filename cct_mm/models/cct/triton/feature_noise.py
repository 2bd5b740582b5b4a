"""F-Noise projected by the first layers, with its noise drawn inside the kernels.

The perturbed map of decoder k is z (1 + s N_k). Neither it nor N_k, each as large as z for every
decoder, reaches the GPU's memory: a program draws the numbers of its tile where it multiplies by
them, and the backward pass draws them again.

The noise is that of ``StepKey.draw``, to the last bit before the rounding of the sum: element e of
N_k, counted through [h, w, D], is half-word e % 8 of the Philox words (w_0, w_1, w_2, w_3) of the
counter (e // 8, k, high and low word of the batch's key). A half-word i, read as a signed number,
gives (i + 1/2) / 32768, which is in (-1, 1) and as often positive as negative. The order of the
half-words is that of two 64-bit integers w_0 2^32 + w_1 and w_2 2^32 + w_3 in memory: the words 1,
0, 3, 2, the low half of each first.

In the shapes there are K decoders with this perturbation, D channels and P positions of z and c
channels after the first layer; CP is c rounded up to a power of two.
"""

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from .layout import padded
from .philox import philox4x32

ROUNDS = 7

# A thread of four warps holds 16 numbers of z's tile, and the four words for each of them.
TILE = dict(DEPTH=32, BLOCK=64, num_warps=4, num_stages=1)
"""Channels of z and positions of a tile."""

PROGRAMS = 512
"""Programs of the launch that sums over positions, about; see ``decoder_pass.py``."""


class Noise(NamedTuple):
    """What determines the noise of all decoders, on the GPU, where nothing has to wait for it.

    Args:
        bound: s, the largest share of its value by which an element of z changes.
        decoders: Number of each decoder, the second word of its counters.
        batch: The key of numbers that all images share.
        constants: From ``philox.constants``: two multipliers, then the two words of the key.

    Shape:
        - decoders: [K], int64
        - batch: [1], int64
        - constants: [4] or more, int64
    """

    bound: float
    decoders: Tensor
    batch: Tensor
    constants: Tensor


def project(z: Tensor, weight: Tensor, noise: Noise, precision: str = 'ieee') -> Tensor:
    """Return W_k (z (1 + s N_k)) for all decoders.

    Args:
        z: The encoder's output.
        weight: The first layers of the decoders.
        noise: What determines their noise, which all images share.
        precision: As for ``decoder_pass``.

    Shape:
        - z: [B, D, h, w], float32
        - weight: [K, c, D]
        - output: [K, B, c, h, w]
    """
    count, channels, depth = weight.shape
    batch, positions = len(z), z.shape[2] * z.shape[3]
    y = z.new_empty(count, batch, channels, *z.shape[2:])  # [K, B, c, h, w]
    z, strides = _dense(z)
    _project[(triton.cdiv(positions, TILE['BLOCK']), batch, count)](
        z, weight.contiguous(), *noise, y, batch, depth, positions, *strides,
        CHANNELS=channels, CP=padded(channels), ROUNDS=ROUNDS, PRECISION=precision, **TILE,
    )  # fmt: skip
    return y


def project_backward(
    grad: Tensor, z: Tensor, weight: Tensor, noise: Noise, grad_z: Tensor, precision: str = 'ieee'
) -> Tensor:
    """Return the gradient of ``weight`` and add that of ``z`` to ``grad_z``.

    The arguments are those of :func:`project`, and its output's gradient.

    Shape:
        - grad: [K, B, c, h, w]
        - grad_z: [B, D, h, w], contiguous or with channels last
        - output: [K, c, D]
    """
    count, channels, depth = weight.shape
    batch, positions = len(z), z.shape[2] * z.shape[3]
    blocks, parts = triton.cdiv(positions, TILE['BLOCK']), triton.cdiv(depth, TILE['DEPTH'])
    grad, weight = grad.contiguous(), weight.contiguous()
    z, strides = _dense(z)
    sizes = dict(CHANNELS=channels, CP=padded(channels), ROUNDS=ROUNDS, PRECISION=precision, **TILE)
    _backward_z[(blocks, parts, batch)](
        grad, weight, *noise, grad_z, count, batch, depth, positions, *_dense(grad_z)[1], **sizes
    )
    slots = triton.cdiv(batch * blocks, triton.cdiv(batch * blocks * parts * count, PROGRAMS))
    grad_weight = z.new_empty(count, slots, channels, depth)  # [K, slots, c, D]
    _backward_weight[(parts, slots, count)](
        grad, z, *noise, grad_weight, batch, depth, positions, *strides, **sizes
    )
    return grad_weight.sum(dim=1)


def _dense(z: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """Return z, and how far apart neighboring channels and neighboring positions are in memory."""
    if z.is_contiguous(memory_format=torch.channels_last):
        return z, (1, z.shape[1])
    return z.contiguous(), (z.shape[2] * z.shape[3], 1)


@triton.jit
def _scale(
    channel,  # of z, [DEPTH, 1]
    position,  # [1, BLOCK]
    depth,
    bound,
    decoder,  # the second word of the counters
    batch_ptr,
    constants_ptr,
    ROUNDS: tl.constexpr,
):
    """Return 1 + s N of a tile, [DEPTH, BLOCK]."""
    element = (position * depth + channel).to(tl.uint32)  # [DEPTH, BLOCK]
    zeros = tl.zeros_like(element)
    batch = tl.load(batch_ptr)
    words = philox4x32(
        element // 8,
        zeros + decoder.to(tl.uint32),
        zeros + (batch >> 32).to(tl.uint32),
        zeros + batch.to(tl.uint32),
        tl.load(constants_ptr + 2).to(tl.uint32),
        tl.load(constants_ptr + 3).to(tl.uint32),
        ROUNDS,
    )
    half = element % 8
    first, last = tl.where(half < 2, words[1], words[0]), tl.where(half < 6, words[3], words[2])
    word = tl.where(half < 4, first, last)
    bits = tl.where(half % 2 == 0, word & 0xFFFF, word >> 16).to(tl.int32)
    signed = tl.where(bits < 32768, bits, bits - 65536).to(tl.float32)
    return 1 + bound * ((signed + 0.5) * (1 / 32768))


@triton.jit
def _project(
    z_ptr,  # [B, D, P]
    weight_ptr,  # [K, c, D]
    bound,
    decoders_ptr,  # [K]
    batch_ptr,  # [1]
    constants_ptr,  # [4] or more
    y_ptr,  # [K, B, c, P]
    batch,
    depth,
    positions,
    by_channel,
    by_position,
    CHANNELS: tl.constexpr,
    CP: tl.constexpr,
    ROUNDS: tl.constexpr,
    PRECISION: tl.constexpr,
    DEPTH: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Write a block of positions; program (block, image, decoder)."""
    # Offsets can exceed 32 bits, and these make them 64-bit numbers.
    image, decoder = tl.program_id(1).to(tl.int64), tl.program_id(2).to(tl.int64)
    position = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)[None, :]  # [1, BLOCK]
    row = tl.arange(0, CP)[:, None]  # [CP, 1]
    number = tl.load(decoders_ptr + decoder)
    image_ptr = z_ptr + image * depth * positions
    y = tl.zeros((CP, BLOCK), tl.float32)
    for start in range(0, depth, DEPTH):
        channel = start + tl.arange(0, DEPTH)  # [DEPTH]
        z = tl.load(
            image_ptr + channel[:, None] * by_channel + position * by_position,
            (channel[:, None] < depth) & (position < positions),
            0.0,
        )  # [DEPTH, BLOCK]
        z *= _scale(
            channel[:, None], position, depth, bound, number, batch_ptr, constants_ptr, ROUNDS
        )
        weight = tl.load(
            weight_ptr + (decoder * CHANNELS + row) * depth + channel[None, :],
            (row < CHANNELS) & (channel[None, :] < depth),
            0.0,
        )  # [CP, DEPTH]
        y = tl.dot(weight, z, y, input_precision=PRECISION)
    tl.store(
        y_ptr + ((decoder * batch + image) * CHANNELS + row) * positions + position,
        y,
        (row < CHANNELS) & (position < positions),
    )


@triton.jit
def _backward_z(
    grad_ptr,  # [K, B, c, P]
    weight_ptr,  # [K, c, D]
    bound,
    decoders_ptr,  # [K]
    batch_ptr,  # [1]
    constants_ptr,  # [4] or more
    grad_z_ptr,  # [B, D, P]
    count,
    batch,
    depth,
    positions,
    by_channel,
    by_position,
    CHANNELS: tl.constexpr,
    CP: tl.constexpr,
    ROUNDS: tl.constexpr,
    PRECISION: tl.constexpr,
    DEPTH: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Add all decoders' gradients to a tile of z's; program (block, channels, image)."""
    image = tl.program_id(2).to(tl.int64)
    position = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)[None, :]  # [1, BLOCK]
    channel = tl.program_id(1) * DEPTH + tl.arange(0, DEPTH)[:, None]  # [DEPTH, 1]
    row = tl.arange(0, CP)  # [CP]
    total = tl.zeros((DEPTH, BLOCK), tl.float32)
    for k in range(count):
        decoder = tl.cast(k, tl.int64)
        grad = tl.load(
            grad_ptr + ((decoder * batch + image) * CHANNELS + row[:, None]) * positions + position,
            (row[:, None] < CHANNELS) & (position < positions),
            0.0,
        )  # [CP, BLOCK]
        weight = tl.load(
            weight_ptr + (decoder * CHANNELS + row[None, :]) * depth + channel,
            (row[None, :] < CHANNELS) & (channel < depth),
            0.0,
        )  # [DEPTH, CP]
        number = tl.load(decoders_ptr + k)
        scale = _scale(channel, position, depth, bound, number, batch_ptr, constants_ptr, ROUNDS)
        total += scale * tl.dot(weight, grad, input_precision=PRECISION)
    image_ptr = grad_z_ptr + image * depth * positions
    address = image_ptr + channel * by_channel + position * by_position
    inside = (channel < depth) & (position < positions)
    tl.store(address, tl.load(address, inside, 0.0) + total, inside)


@triton.jit
def _backward_weight(
    grad_ptr,  # [K, B, c, P]
    z_ptr,  # [B, D, P]
    bound,
    decoders_ptr,  # [K]
    batch_ptr,  # [1]
    constants_ptr,  # [4] or more
    grad_weight_ptr,  # [K, slots, c, D]
    batch,
    depth,
    positions,
    by_channel,
    by_position,
    CHANNELS: tl.constexpr,
    CP: tl.constexpr,
    ROUNDS: tl.constexpr,
    PRECISION: tl.constexpr,
    DEPTH: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Sum the gradient of some columns over every slots-th block; program (columns, slot, decoder).

    Its sum is one of the parts that are added up afterwards.
    """
    decoder = tl.program_id(2).to(tl.int64)
    slots = tl.num_programs(1)
    channel = tl.program_id(0) * DEPTH + tl.arange(0, DEPTH)  # [DEPTH]
    row = tl.arange(0, CP)[:, None]  # [CP, 1]
    number = tl.load(decoders_ptr + decoder)
    blocks = tl.cdiv(positions, BLOCK)
    total = tl.zeros((CP, DEPTH), tl.float32)
    for block in range(tl.program_id(1), batch * blocks, slots):
        image = (block // blocks).to(tl.int64)
        position = block % blocks * BLOCK + tl.arange(0, BLOCK)[None, :]  # [1, BLOCK]
        image_ptr = z_ptr + image * depth * positions
        z = tl.load(
            image_ptr + channel[:, None] * by_channel + position * by_position,
            (channel[:, None] < depth) & (position < positions),
            0.0,
        )  # [DEPTH, BLOCK]
        z *= _scale(
            channel[:, None], position, depth, bound, number, batch_ptr, constants_ptr, ROUNDS
        )
        grad = tl.load(
            grad_ptr + ((decoder * batch + image) * CHANNELS + row) * positions + position,
            (row < CHANNELS) & (position < positions),
            0.0,
        )  # [CP, BLOCK]
        total = tl.dot(grad, tl.trans(z), total, input_precision=PRECISION)
    place = (decoder * slots + tl.program_id(1)) * CHANNELS + row
    tl.store(
        grad_weight_ptr + place * depth + channel[None, :],
        total,
        (row < CHANNELS) & (channel[None, :] < depth),
    )
