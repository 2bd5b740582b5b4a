"""The random numbers of a step: all perturbations' in one call, each a function of its own key.

A number depends on seed, domain, iteration, decoder and image, so decoders may be computed in any
order and in any groups, on any device. Philox (:mod:`cct_mm.philox`) gets the first three as its
key, and as its counter (index, decoder, image): an index gives eight numbers of 16 bits.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cct_mm import keyed, philox

PER_COUNTER = 8
"""Numbers of 16 bits that a counter gives."""


@dataclass
class Numbers:
    """Random integers for G decoders.

    Args:
        integers: Uniform on -2^15 ... 2^15 - 1.
        shape: Shape of the numbers of one decoder for one image; what is more is not used.

    Shape:
        - integers: [G, B, n], int16; B is 1 if the batch shares the numbers
    """

    integers: Tensor
    shape: tuple[int, ...]

    def of(self, decoders: slice) -> 'Numbers':
        """Return the numbers of some of the decoders."""
        return replace(self, integers=self.integers[decoders])

    def uniform(self, low: float, high: float) -> Tensor:
        """Return them as 2^16 steps of equal width between two ends, both excluded.

        Shape:
            - output: [G, B, *shape], float32
        """
        step = (high - low) / 2**16
        middle = torch.tensor((low + high + step) / 2)  # of the steps; no copy, being a scalar
        numbers = torch.add(middle, self.integers, alpha=step)  # [G, B, n]
        return numbers[..., : math.prod(self.shape)].unflatten(2, self.shape)

    def normal(self, deviation: float = 1.0) -> Tensor:
        """Return them as normal, whose distribution function takes the uniform ones as values.

        Args:
            deviation: The standard deviation.

        Shape:
            - output: [G, B, *shape], float32, all within 4.4 standard deviations
        """
        return self.uniform(-1, 1).erfinv_().mul_(math.sqrt(2) * deviation)


@dataclass
class Request:
    """Numbers that are asked for.

    Args:
        decoders: Indices of the decoders.
        shape: Shape of the numbers of one decoder for one image.
        shared: Whether all images share them.

    Shape:
        - decoders: [G], int64
    """

    decoders: Tensor
    shape: tuple[int, ...]
    shared: bool


@dataclass
class StepKey:
    """On what the random numbers of a step depend, where they are drawn.

    Args:
        constants: Philox's, by seed, domain and iteration.
        images: The key of each image.
        batch: The key of numbers that the batch shares.
        generate: What computes Philox: ``philox.philox4x32`` or a kernel that does the same.

    Shape:
        - constants: [m], int64
        - images: [B], int64
        - batch: [1], int64
    """

    constants: Tensor
    images: Tensor
    batch: Tensor
    generate: Callable[[Tensor, Tensor], Tensor] = philox.philox4x32

    @staticmethod
    def parts(key: Sequence[keyed.Part], samples: Sequence[keyed.Part]) -> tuple[list[int], ...]:
        """Return the numbers of constants, images and batch, to be sent to the device.

        Args:
            key: Seed, domain and iteration.
            samples: For each image, the key that identifies it in the whole run.
        """
        images = [keyed.key('sample', sample) for sample in samples]
        return philox.constants(keyed.key(*key)), images, [keyed.key('batch')]

    def draw(self, requests: Sequence[Request]) -> list[Numbers]:
        """Draw the numbers of all requests, in one call of Philox."""
        if not requests:
            return []
        counts = [-(-math.prod(r.shape) // PER_COUNTER) for r in requests]
        images = [self.batch if r.shared else self.images for r in requests]
        sizes = [
            len(r.decoders) * len(own) * count
            for r, own, count in zip(requests, images, counts, strict=True)
        ]
        words = self.images.new_empty(2, sum(sizes))
        index = torch.arange(max(counts), device=words.device)
        for part, own, count, r in zip(
            words.split(sizes, dim=1), images, counts, requests, strict=True
        ):
            part = part.view(2, len(r.decoders), len(own), count)
            # Index and decoder are the first two words of the counter, the image the others.
            decoders = r.decoders.view(-1, 1, 1).expand(-1, len(own), 1)  # [G, B, 1]
            torch.add(decoders, index[:count], alpha=2**32, out=part[0])
            part[1] = own.unsqueeze(1)
        # [n] for each request
        integers = self.generate(words, self.constants).view(torch.int16).flatten()
        return [
            Numbers(part.view(len(r.decoders), len(own), -1), r.shape)
            for part, own, r in zip(
                integers.split([PER_COUNTER * size for size in sizes]),
                images,
                requests,
                strict=True,
            )
        ]


@dataclass
class Undrawn:
    """Numbers that a Triton kernel draws where it needs them, instead of :class:`Numbers`.

    Args:
        decoders: Indices of the decoders, [G], int64.
        key: On what their numbers depend.
        precision: See ``Plan.precision``.
    """

    decoders: Tensor
    key: StepKey
    precision: str

    def of(self, decoders: slice) -> 'Undrawn':
        """Return those of some of the decoders."""
        return replace(self, decoders=self.decoders[decoders])
