"""Feature based perturbations: F-Noise and F-Drop (paper, Section 3.2.3)."""

from collections.abc import Callable

from torch import Tensor

from .base import PERTURBATIONS, Context, MultiplicativeNoise, SpatialMask
from .numbers import Undrawn


@PERTURBATIONS.register_module(name='F-Noise')
class FNoise(MultiplicativeNoise):
    """``z~ = (z * N) + z`` with N ~ U(-bound, bound), the same for the whole batch (Suppl. L).

    Args:
        bound: Bound of the noise relative to each activation (paper: 0.3), > 0.
    """

    shared = True
    drawn_in_kernels = True

    def __init__(self, bound: float = 0.3) -> None:
        if bound <= 0:
            raise ValueError(f'F-Noise: bound is {bound}, expected a number > 0 (paper: 0.3)')
        self.bound = bound

    def numbers(self, z: Tensor, weight: Tensor) -> tuple[int, ...]:
        """Return N's shape, channels last as z is in memory, so that no map is turned around."""
        return *z.shape[2:], z.shape[1]

    def draw(self, context: Context) -> Callable[[], Tensor] | Undrawn:
        """Return a function that returns N, [G, 1, D, h, w], or what its kernels draw from."""
        if isinstance(context.numbers, Undrawn):
            return context.numbers
        return lambda: context.uniform(-self.bound, self.bound).movedim(-1, 2)

    def project(self, z: Tensor, weight: Tensor, state: Callable[[], Tensor] | Undrawn) -> Tensor:
        """Return ``W z~``; a kernel draws N where it multiplies by it."""
        if not isinstance(state, Undrawn):
            return super().project(z, weight, state)
        from cct_mm.models.cct.triton.feature_noise import project

        return project(z, weight, *self._kernel_arguments(state))

    def project_backward(
        self,
        grad: Tensor,
        z: Tensor,
        weight: Tensor,
        state: Callable[[], Tensor] | Undrawn,
        grad_z: Tensor,
    ) -> Tensor:
        """Do the same for the gradients."""
        if not isinstance(state, Undrawn):
            return super().project_backward(grad, z, weight, state, grad_z)
        from cct_mm.models.cct.triton.feature_noise import project_backward

        noise, precision = self._kernel_arguments(state)
        return project_backward(grad, z, weight, noise, grad_z, precision)

    def _kernel_arguments(self, state: Undrawn) -> tuple:
        from cct_mm.models.cct.triton.feature_noise import Noise

        key = state.key
        return Noise(self.bound, state.decoders, key.batch, key.constants), state.precision


@PERTURBATIONS.register_module(name='F-Drop')
class FDrop(SpatialMask):
    """Drop the most active positions: ``M = {z' < gamma}``, gamma in ``threshold`` for each image.

    z' is the sum of z over its channels, divided by the largest such sum in the image. (The
    released code takes the mean over channels, which is the same after the division.) z is expected
    to be >= 0, as it is after the neck's ReLU.

    Args:
        threshold: Lowest and highest gamma, within (0, 1]; the released code has (0.7, 0.9).
        one_gamma: Draw one gamma for all images of the batch, as the released code does.
    """

    def __init__(
        self, threshold: tuple[float, float] = (0.6, 0.9), one_gamma: bool = False
    ) -> None:
        if len(threshold) != 2 or not 0 < threshold[0] <= threshold[1] <= 1:
            raise ValueError(
                f'F-Drop: threshold is {threshold}, expected two shares of the maximum, '
                '0 < low <= high <= 1 (paper: 0.6, 0.9)'
            )
        self.threshold = tuple(threshold)
        self.shared = one_gamma

    def numbers(self, z: Tensor, weight: Tensor) -> tuple[int, ...]:
        """Return gamma's shape."""
        return 1, 1, 1

    def draw(self, context: Context) -> Tensor:
        """Return M, [G, B, 1, h, w]."""
        gamma = context.uniform(*self.threshold)  # [G, B, 1, 1, 1], or [G, 1, 1, 1, 1]
        attention = context.z.sum(dim=1, keepdim=True)  # [B, 1, h, w]
        # The padding has no part in the maximum.
        seen = attention.masked_fill(~context.guidance.valid, -float('inf'))
        highest = seen.amax(dim=(2, 3), keepdim=True)  # [B, 1, 1, 1]
        return attention < gamma * highest
