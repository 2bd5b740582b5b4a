"""Philox4x32, the counter-based generator of Random123, inside Triton kernels.

J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw: Parallel random numbers: as easy as 1, 2, 3
(SC 2011). A counter of four 32-bit words and a key of two give four random words, which depend on
nothing else. So a kernel makes the numbers of an element where it needs them, and any other program
makes the same.
"""

import torch
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


def words(counters: Tensor, keys: Tensor, rounds: int) -> Tensor:
    """Return the words of many counters, to compare them with those of other generators.

    Shape:
        - counters, output: [4, N], int32, whose bits are those of the unsigned words
        - keys: [2, N], int32
    """
    found = torch.empty_like(counters)
    count = counters.shape[1]
    _words[(1,)](counters, keys, found, count, rounds, triton.next_power_of_2(count))
    return found


@triton.jit
def _words(counter_ptr, key_ptr, words_ptr, count, ROUNDS: tl.constexpr, BLOCK: tl.constexpr):
    """Do what :func:`words` does, in one program."""
    place = tl.arange(0, BLOCK)
    mask = place < count
    c0 = tl.load(counter_ptr + place, mask, 0).to(tl.uint32, bitcast=True)
    c1 = tl.load(counter_ptr + count + place, mask, 0).to(tl.uint32, bitcast=True)
    c2 = tl.load(counter_ptr + 2 * count + place, mask, 0).to(tl.uint32, bitcast=True)
    c3 = tl.load(counter_ptr + 3 * count + place, mask, 0).to(tl.uint32, bitcast=True)
    k0 = tl.load(key_ptr + place, mask, 0).to(tl.uint32, bitcast=True)
    k1 = tl.load(key_ptr + count + place, mask, 0).to(tl.uint32, bitcast=True)
    found = philox4x32(c0, c1, c2, c3, k0, k1, ROUNDS)
    for i in tl.static_range(4):
        tl.store(words_ptr + i * count + place, found[i].to(tl.int32, bitcast=True), mask)
