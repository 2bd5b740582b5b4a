"""Random perturbation: DropOut (paper, Section 3.2.3)."""

from torch import Tensor

from .base import PERTURBATIONS, ChannelMask, Context


@PERTURBATIONS.register_module(name='DropOut')
class DropOut(ChannelMask):
    """Spatial dropout: zero whole channels of each image and scale the others by 1 / (1 - p).

    Args:
        p: Probability that a channel is dropped, in [0, 1).
    """

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p < 1:
            raise ValueError(f'DropOut: p is {p}, expected a probability in [0, 1)')
        self.p = p

    def numbers(self, z: Tensor, weight: Tensor) -> tuple[int, ...]:
        """Return the shape of m, one number for each channel."""
        return z.shape[1], 1, 1

    def draw(self, context: Context) -> Tensor:
        """Return the factor of each channel, 0 or 1 / (1 - p), [G, B, D, 1, 1]."""
        return (context.uniform() >= self.p) * (1 / (1 - self.p))
