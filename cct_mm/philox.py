"""Philox4x32, the counter-based random number generator of Salmon et al. (SC 2011).

A counter and a key give 128 random bits, whatever was drawn before: no state, no order, the same
on every device. The integers are those of the authors' library.

PyTorch has no unsigned arithmetic, so two 32-bit words of a counter lie in one 64-bit integer,
whose product by a 32-bit constant wraps around as it should.
"""

import torch
from torch import Tensor

ROUNDS = 7
"""The fewest rounds that pass the test battery BigCrush; the authors' default, 10, is a margin."""

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
"""What is added to the two words of the key from round to round."""

LOW = 0xFFFFFFFF

BLOCK = 2**16
"""Counters of a block on a CPU, whose intermediate results stay in its cache."""


def constants(key: int, rounds: int = ROUNDS) -> list[int]:
    """Return all that depends on no counter: the two multipliers, then the key of each round.

    Args:
        key: In [0, 2^64), its first word in the lower half.
        rounds: Number of rounds.
    """
    words = key & LOW, key >> 32
    keys = [
        (word + i * step) & LOW for i in range(rounds) for word, step in zip(words, WEYL, strict=True)
    ]
    return [*MULTIPLIERS, *keys]


def philox4x32_(words: Tensor, constants: Tensor) -> Tensor:
    """Replace counters by random numbers, in place, with the same few calls for any number of them.

    Args:
        words: The counters (c_0, c_1, c_2, c_3): c_0 2^32 + c_1 in the first row, c_2 2^32 + c_3 in
            the second. The random words take their places.
        constants: From :func:`constants`, on the device of the counters.

    Shape:
        - words: [2, n], int64
        - constants: [2 + 2 rounds], int64
    """
    multipliers, *keys = constants.view(-1, 2, 1)  # [2, 1] each
    for block in words.split(BLOCK, dim=1) if words.device.type == 'cpu' else [words]:
        product = torch.empty_like(block)  # [2, n]
        for key in keys:
            # With (hi, lo) = M_0 c_0 and (hi', lo') = M_1 c_2 a round yields
            # (hi' ^ c_1 ^ k_0, lo', hi ^ c_3 ^ k_1, lo).
            torch.bitwise_right_shift(block, 32, out=product)
            product.bitwise_and_(LOW).mul_(multipliers)
            block.bitwise_xor_(key).bitwise_left_shift_(32)
            block[0].bitwise_xor_(product[1])
            block[1].bitwise_xor_(product[0])
    return words
