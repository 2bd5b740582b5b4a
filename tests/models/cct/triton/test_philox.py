"""Philox4x32 gives the known answers of Random123, and those of its definition in plain Python."""

import random

import pytest
import torch

pytest.importorskip('triton')

from cct_mm.models.cct.triton.philox import words

PI = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344, 0xA4093822, 0x299F31D0)
ONES = (0xFFFFFFFF,) * 6
ZEROS = (0,) * 6


def philox4x32(counter, key, rounds):
    """The definition of the paper, for whole numbers."""
    mask = 0xFFFFFFFF
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(rounds):
        first, second = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (
            (second >> 32) ^ c1 ^ k0,
            second & mask,
            (first >> 32) ^ c3 ^ k1,
            first & mask,
        )
        k0, k1 = (k0 + 0x9E3779B9) & mask, (k1 + 0xBB67AE85) & mask
    return c0, c1, c2, c3


# The kat_vectors of Random123: counter and key, rounds, words.
KNOWN = [
    (ZEROS, 7, (0x5F6FB709, 0x0D893F64, 0x4F121F81, 0x4F730A48)),
    (ONES, 7, (0x5207DDC2, 0x45165E59, 0x4D8EE751, 0x8C52F662)),
    (PI, 7, (0x4DFCCABA, 0x190A87F0, 0xC47362BA, 0xB6B5242A)),
    (ZEROS, 10, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    (ONES, 10, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (PI, 10, (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
]


def by_kernel(run, inputs, rounds):
    """Return the kernel's words for rows of four counter words and two key words."""
    columns = torch.tensor(inputs, dtype=torch.int64).to(torch.int32).T.contiguous()  # [6, N]
    found = run(words, columns[:4], columns[4:], rounds)  # [4, N]
    return [tuple(row) for row in (found.T.long() & 0xFFFFFFFF).tolist()]


@pytest.mark.parametrize(('inputs', 'rounds', 'expected'), KNOWN)
def test_known_answers(run, inputs, rounds, expected):
    assert philox4x32(inputs[:4], inputs[4:], rounds) == expected
    assert by_kernel(run, [inputs], rounds) == [expected]


@pytest.mark.parametrize('rounds', [7, 10])
def test_equals_the_definition(run, rounds):
    inputs = [tuple(random.getrandbits(32) for _ in range(6)) for _ in range(100)]
    expected = [philox4x32(row[:4], row[4:], rounds) for row in inputs]
    assert by_kernel(run, inputs, rounds) == expected
