"""Philox gives the integers that its authors publish, and those of a plain computation."""

import pytest
import torch

from cct_mm.philox import LOW, MULTIPLIERS, WEYL, constants, philox4x32

# Of the file kat_vectors in the authors' library Random123: rounds, counter, key, result.
ZEROS, ONES = ' '.join(['0' * 8] * 4), ' '.join(['f' * 8] * 4)
PI = '243f6a88 85a308d3 13198a2e 03707344'
KNOWN = [
    (7, ZEROS, '00000000 00000000', '5f6fb709 0d893f64 4f121f81 4f730a48'),
    (7, ONES, 'ffffffff ffffffff', '5207ddc2 45165e59 4d8ee751 8c52f662'),
    (7, PI, 'a4093822 299f31d0', '4dfccaba 190a87f0 c47362ba b6b5242a'),
    (10, ZEROS, '00000000 00000000', '6627e8d5 e169c58d bc57ac4c 9b00dbd8'),
    (10, ONES, 'ffffffff ffffffff', '408f276d 41c83b0e a20bc7c6 6d5451fd'),
    (10, PI, 'a4093822 299f31d0', 'd16cfe09 94fdcceb 5001e420 24126ea1'),
]


def words_of(text):
    return [int(word, 16) for word in text.split()]


def signed(number):
    return number - 2**64 if number >= 2**63 else number


def pack(counters):
    """Bring counters of four words to the two rows that the function takes."""
    rows = [[signed(a << 32 | b) for a, b, _, _ in counters]]
    rows.append([signed(c << 32 | d) for _, _, c, d in counters])
    return torch.tensor(rows)


def unpack(words):
    high, low = words >> 32 & LOW, words & LOW
    return list(
        zip(*(row.tolist() for row in (high[:, 0], low[:, 0], high[:, 1], low[:, 1])), strict=True)
    )


def plain(counter, key, rounds):
    """Philox as its authors write it, in Python's integers."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(rounds):
        first, second = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = second >> 32 ^ c1 ^ k0, second & LOW, first >> 32 ^ c3 ^ k1, first & LOW
        k0, k1 = (k0 + WEYL[0]) & LOW, (k1 + WEYL[1]) & LOW
    return c0, c1, c2, c3


@pytest.mark.parametrize(('rounds', 'counter', 'key', 'expected'), KNOWN)
def test_known_answers(rounds, counter, key, expected):
    k0, k1 = words_of(key)
    words = pack([words_of(counter)] * 3)
    found = unpack(philox4x32(words, torch.tensor(constants(k1 << 32 | k0, rounds))))
    assert found == [tuple(words_of(expected))] * 3
    assert plain(words_of(counter), (k0, k1), rounds) == tuple(words_of(expected))


@pytest.mark.parametrize('key', [0, 1, 2**63 + 12345, 2**64 - 1])
def test_each_counter_gives_its_own_numbers_in_any_company(key):
    generator = torch.Generator().manual_seed(key % 2**31)
    counters = torch.randint(2**32, (70000, 4), generator=generator)
    words = (counters[:, ::2] << 32 | counters[:, 1::2]).T.contiguous()
    found = unpack(philox4x32(words, torch.tensor(constants(key))))
    for i in (0, 1, 65535, 65536, 69999):
        assert found[i] == plain(counters[i].tolist(), (key & LOW, key >> 32), 7)
    assert len(set(found)) == len(found)


def test_bits_are_fair_and_independent_of_neighbors():
    words = torch.stack([torch.arange(2**14) << 32, torch.zeros(2**14, dtype=torch.int64)])
    numbers = philox4x32(words, torch.tensor(constants(7)))
    bits = (numbers.flatten()[:, None] >> torch.arange(64)) & 1  # [2 n, 64]
    # Of 2^15 fair bits the share of ones has a standard deviation of 0.28%.
    assert (bits.double().mean(dim=0) - 0.5).abs().max() < 0.0125
    flips = (bits[1:] ^ bits[:-1]).double().mean(dim=0)
    assert (flips - 0.5).abs().max() < 0.0125
