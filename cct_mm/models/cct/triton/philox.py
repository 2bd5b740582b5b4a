"""Philox4x32, the counter-based generator of Random123, inside Triton kernels.

J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw: Parallel random numbers: as easy as 1, 2, 3
(SC 2011). A counter of four 32-bit words and a key of two give four random words, which depend on
nothing else. So a kernel makes the numbers of an element where it needs them, and any other program
makes the same.
"""

import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def philox4x32(c0, c1, c2, c3, k0, k1, ROUNDS: tl.constexpr):
    """Return the four random words of a counter and a key.

    Args:
        c0: First word of the counter, uint32, a number or a block of any shape.
        c1: Second word.
        c2: Third word.
        c3: Fourth word.
        k0: First word of the key.
        k1: Second word.
        ROUNDS: 7 pass BigCrush's statistical tests, 10 leave a margin.
    """
    for _ in tl.static_range(ROUNDS):
        # Unsigned 32-bit products, whose overflow is meant.
        high0, low0 = tl.umulhi(c0, tl.full((), 0xD2511F53, tl.uint32)), _low(c0, 0xD2511F53)
        high1, low1 = tl.umulhi(c2, tl.full((), 0xCD9E8D57, tl.uint32)), _low(c2, 0xCD9E8D57)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0 = tl.add(k0, tl.full((), 0x9E3779B9, tl.uint32), sanitize_overflow=False)
        k1 = tl.add(k1, tl.full((), 0xBB67AE85, tl.uint32), sanitize_overflow=False)
    return c0, c1, c2, c3


@triton.jit
def _low(c, FACTOR: tl.constexpr):
    """Return the low word of a product."""
    return tl.mul(c, tl.full((), FACTOR, tl.uint32), sanitize_overflow=False)


def generate(words: Tensor, constants: Tensor) -> Tensor:
    """Return what :func:`cct_mm.philox.philox4x32` returns, in one launch.

    Shape:
        - words: [2, n], int64
        - constants: [2 + 2 rounds], int64
        - output: [n, 2], int64
    """
    count, rounds = words.shape[1], len(constants) // 2 - 1
    result = words.new_empty(count, 2)  # [n, 2]
    block = 1024
    _generate[(triton.cdiv(count, block),)](words, constants, result, count, rounds, block)
    return result


@triton.jit
def _generate(
    words_ptr, constants_ptr, result_ptr, count, ROUNDS: tl.constexpr, BLOCK: tl.constexpr
):
    """Do what :func:`generate` does for a block of counters."""
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = place < count
    first = tl.load(words_ptr + place, mask, 0)
    second = tl.load(words_ptr + count + place, mask, 0)
    # The two multipliers stand before the key of the first round.
    w0, w1, w2, w3 = philox4x32(
        (first >> 32).to(tl.uint32),
        first.to(tl.uint32),
        (second >> 32).to(tl.uint32),
        second.to(tl.uint32),
        tl.load(constants_ptr + 2).to(tl.uint32),
        tl.load(constants_ptr + 3).to(tl.uint32),
        ROUNDS,
    )
    tl.store(result_ptr + 2 * place, (w0.to(tl.int64) << 32) | w1.to(tl.int64), mask)
    tl.store(result_ptr + 2 * place + 1, (w2.to(tl.int64) << 32) | w3.to(tl.int64), mask)
