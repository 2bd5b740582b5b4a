"""Feature based perturbations: F-Noise and F-Drop (paper, Section 3.2.3)."""

from collections.abc import Callable
from functools import partial

from torch import Tensor

from .base import PERTURBATIONS, Context, MultiplicativeNoise, SpatialMask


@PERTURBATIONS.register_module(name='F-Noise')
class FNoise(MultiplicativeNoise):
    """``z~ = (z * N) + z`` with N ~ U(-range, range), the same for the whole batch (Suppl. L).

    Args:
        range: Amplitude of the noise relative to each activation (paper: 0.3), > 0.
    """

    def __init__(self, range: float = 0.3) -> None:
        if range <= 0:
            raise ValueError(f'F-Noise: range is {range}, expected an amplitude > 0 (paper: 0.3)')
        self.range = range

    def draw(self, context: Context) -> Callable[[], Tensor]:
        """Return a function that draws N, [1, D, h, w]."""
        return partial(
            context.shared_uniform,
            'noise',
            1,
            *context.z.shape[1:],
            low=-self.range,
            high=self.range,
        )


@PERTURBATIONS.register_module(name='F-Drop')
class FDrop(SpatialMask):
    """Drop the most active positions: ``M = {z' < gamma}``, gamma ~ U(*threshold) for each image.

    z' is the channel sum of z over its maximum in the image. (The released code takes the channel
    mean, which is the same after the division, and gamma from U(0.7, 0.9).)

    Args:
        threshold: Range of gamma, within (0, 1].

    Note:
        z is taken to be >= 0, as it is behind the neck's ReLU: with negative channel sums only,
        nothing is dropped.
    """

    def __init__(self, threshold: tuple[float, float] = (0.6, 0.9)) -> None:
        if len(threshold) != 2 or not 0 < threshold[0] <= threshold[1] <= 1:
            raise ValueError(
                f'F-Drop: threshold is {threshold}, expected two shares of the maximum, '
                '0 < low <= high <= 1 (paper: 0.6, 0.9)'
            )
        self.threshold = tuple(threshold)

    def draw(self, context: Context) -> Tensor:
        """Return M, [B, 1, h, w]."""
        low, high = self.threshold
        gamma = context.uniform('gamma', 1, 1, 1, low=low, high=high)
        attention = context.z.sum(dim=1, keepdim=True)
        seen = attention.masked_fill(~context.guidance.valid, -float('inf'))
        return (attention < gamma * seen.amax(dim=(2, 3), keepdim=True)).to(context.z.dtype)
