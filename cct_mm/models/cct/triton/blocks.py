"""What the kernels share: addresses of blocks and tiles, one step down the tree, the softmax.

The shapes use the letters of ``layout.py`` and BLOCK, the positions of a block. A block of a map is
[BLOCK, CP] with the channel of ones: with positions along the rows of the products, a softmax over
the channels stays within the few threads that share a row.
"""

import triton
import triton.language as tl

from .layout import padded


def block_shape(channels: int, classes: int, precision: str) -> dict[str, int]:
    """Return the constants that set the size of a block, of its tiles and of a program.

    A program holds the block's map and its gradient at each level of the tree, some four maps at a
    leaf, and a tile of weights. With two warps, a map of 32 x 32 numbers takes 16 of a thread's 255
    registers, and four such programs share a multiprocessor, so that one computes while another
    waits. Of the constants that were compiled for sm_90, these need the fewest instructions, and
    almost all that leaves the registers belongs to the outer levels; on a GPU the whole step
    was timed, these constants were not compared.
    """
    CP, LP = padded(channels + 1), padded(classes)
    small = max(CP, LP) <= 32
    # The tensor cores of a warp take 16 rows. Without them a thread reads whole rows and columns
    # into its registers, so it should compute fewer numbers.
    warps = (2 if small else 4) * (2 if precision == 'ieee' else 1)
    # One stage: the pipelining of loads in loops knows nothing of gradients that are added up in
    # memory.
    return dict(CP=CP, LP=LP, BLOCK=32 if small else 16, num_warps=warps, num_stages=1)


@triton.jit
def tile_offsets(ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Return the offsets of the elements of a contiguous tile, [ROWS, COLUMNS]."""
    return tl.arange(0, ROWS)[:, None] * COLUMNS + tl.arange(0, COLUMNS)[None, :]


@triton.jit
def child_tile(s, LEVEL: tl.constexpr, N: tl.constexpr, CP: tl.constexpr, LP: tl.constexpr):
    """Return the offsets of the weights of child s at a level, [CP, CP], in the last [LP, CP]."""
    ROWS: tl.constexpr = LP if LEVEL == N - 1 else CP
    return LEVEL * 4 * CP * CP + s * (ROWS * CP) + tile_offsets(ROWS, CP)


@triton.jit
def map_offsets(start, positions, CHANNELS: tl.constexpr, BLOCK: tl.constexpr, CP: tl.constexpr):
    """Return the offsets of a block of a map [CHANNELS, positions], and which are inside it."""
    position = start + tl.arange(0, BLOCK)[:, None]  # [BLOCK, 1]
    channel = tl.arange(0, CP)[None, :]  # [1, CP]
    inside = (position < positions) & (channel < CHANNELS)  # [BLOCK, CP]
    return channel * positions + position, inside


@triton.jit
def with_ones(y, CHANNELS: tl.constexpr, CP: tl.constexpr):
    """Put the channel of ones behind the channels of y, [BLOCK, CP]."""
    return tl.where(tl.arange(0, CP)[None, :] == CHANNELS, 1.0, y)


@triton.jit
def child_of(h, weight, PRECISION: tl.constexpr):
    """Return a child's map before its ReLU, [BLOCK, rows], from h [BLOCK, CP] and its tile."""
    return tl.dot(h, tl.trans(weight), input_precision=PRECISION)


@triton.jit
def softmax(logits, CLASSES: tl.constexpr, LP: tl.constexpr):
    """Return the probabilities and their logarithms, with 0 and finite numbers in the padding.

    Shape:
        - logits, which are finite in the padding, and output: [BLOCK, LP]
    """
    is_class = tl.arange(0, LP)[None, :] < CLASSES  # [1, LP]
    largest = tl.max(tl.where(is_class, logits, float('-inf')), axis=1)[:, None]  # [BLOCK, 1]
    power = tl.where(is_class, tl.exp(logits - largest), 0.0)  # [BLOCK, LP]
    total = tl.sum(power, axis=1)[:, None]  # [BLOCK, 1]
    return power / total, logits - (largest + tl.log(total))


@triton.jit
def through_softmax(grad, prob):
    """Return the gradient of the logits for one of the probabilities, both [BLOCK, LP]."""
    return prob * (grad - tl.sum(prob * grad, axis=1)[:, None])
