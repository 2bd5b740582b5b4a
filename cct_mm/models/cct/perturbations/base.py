"""What a perturbation p_r is: three functions, and the algebraic form that makes it cheap.

``draw(context) -> state`` makes all random or prediction-dependent choices, ``perturb(z, state)``
applies them to z as the paper writes it, and ``project(z, weight, state)`` gives the 1x1 convolution
of the perturbed map, ``weight @ perturb(z, state)``, without ever making it. A perturbation of a known
form (the four classes below) only writes ``draw``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from mmengine.registry import Registry
from torch import Tensor
from torch.nn import functional as F

from cct_mm import keyed

PERTURBATIONS = Registry('perturbation', scope='cct_mm')


@dataclass
class Guidance:
    """What the guided perturbations know of a step: computed once, shared by all decoders.

    Args:
        labels: The main head's most probable class at each position of z.
        foreground: True where that class is one of the domain's foreground classes.
        valid: False where a position of z lies in the padding.

    Shape:
        - labels: [B, h, w], int64
        - foreground, valid: [B, 1, h, w], bool
    """

    labels: Tensor
    foreground: Tensor
    valid: Tensor
    _shared: dict[str, Any] = field(default_factory=dict, repr=False)

    def once(self, name: str, compute: Callable[[], Any]) -> Any:
        """Return ``compute()``, computed on the first call with this name in this step."""
        if name not in self._shared:
            self._shared[name] = compute()
        return self._shared[name]


@dataclass
class Context:
    """All that ``draw`` may look at, for one auxiliary decoder in one step.

    Args:
        z: The encoder's output, [B, D, h, w], without gradient.
        guidance: The main head's view of the batch.
        decode: This decoder's logits [B, C, H, W] for a map [B, D, h, w], weights without gradient.
        valid_pixels: [B, 1, H, W] bool, False on padding.
        key: What makes this decoder's draws its own: seed, domain, iteration, decoder.
        samples: For each image of the batch the number that identifies it in the whole run.
    """

    z: Tensor
    guidance: Guidance
    decode: Callable[[Tensor], Tensor]
    valid_pixels: Tensor
    key: tuple[keyed.Part, ...]
    samples: list[keyed.Part]

    def uniform(self, name: str, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Draw from U(low, high) for each image by its own key.

        Args:
            name: What the numbers are for; two names give independent draws.
            *shape: Shape of one image's draw.
            low: Lower end.
            high: Upper end.

        Returns:
            Tensor: [B, *shape], float32 on z's device.
        """
        return torch.stack(
            [
                torch.empty(shape, device=self.z.device).uniform_(
                    low, high, generator=self._generator(name, sample)
                )
                for sample in self.samples
            ]
        )

    def normal(self, name: str, *shape: int) -> Tensor:
        """Draw from N(0, 1) for each image by its own key; like :meth:`uniform`."""
        return torch.stack(
            [
                torch.empty(shape, device=self.z.device).normal_(
                    generator=self._generator(name, sample)
                )
                for sample in self.samples
            ]
        )

    def shared_uniform(self, name: str, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Draw from U(low, high) once for the whole batch, on all ranks alike; [*shape]."""
        return torch.empty(shape, device=self.z.device).uniform_(
            low, high, generator=self._generator(name, 'batch')
        )

    def _generator(self, name: str, sample: keyed.Part) -> torch.Generator:
        return keyed.generator(*self.key, name, sample, device=self.z.device)


def conv1x1(z: Tensor, weight: Tensor) -> Tensor:
    """Apply ``weight`` [C, D] at each position of z [B, D, h, w]."""
    return F.conv2d(z, weight[:, :, None, None])


class Perturbation(ABC):
    """One of the paper's p_r (Section 3.2.3). It has parameters, but nothing that is learned.

    Attributes:
        guided: Whether ``draw`` reads the foreground, so that the domain has to name its classes.
    """

    guided = False

    @abstractmethod
    def draw(self, context: Context) -> Any:
        """Make all choices for one decoder and batch, without gradient."""

    @abstractmethod
    def perturb(self, z: Tensor, state: Any) -> Tensor:
        """Return the perturbed map z~, [B, D, h, w]."""

    @abstractmethod
    def project(self, z: Tensor, weight: Tensor, state: Any) -> Tensor:
        """Return ``conv1x1(perturb(z, state), weight)``, [B, C, h, w], the cheap way."""


class SpatialMask(Perturbation):
    """Whole positions are dropped: ``z * M``, M [B, 1, h, w]. Mask the C projected channels instead."""

    def perturb(self, z: Tensor, state: Tensor) -> Tensor:  # noqa: D102
        return z * state

    def project(self, z: Tensor, weight: Tensor, state: Tensor) -> Tensor:  # noqa: D102
        return conv1x1(z, weight) * state


class ChannelMask(Perturbation):
    """Whole channels are scaled: ``z * m``, m [B, D, 1, 1]. Fold m into the weight of each image."""

    def perturb(self, z: Tensor, state: Tensor) -> Tensor:  # noqa: D102
        return z * state

    def project(self, z: Tensor, weight: Tensor, state: Tensor) -> Tensor:  # noqa: D102
        return torch.einsum('bcd,bdhw->bchw', weight * state[:, None, :, 0, 0], z)


class MultiplicativeNoise(Perturbation):
    """``z * (1 + N)``, N [1, D, h, w] shared by the batch: one convolution of a scaled z."""

    def perturb(self, z: Tensor, state: Tensor) -> Tensor:  # noqa: D102
        return z * state + z

    def project(self, z: Tensor, weight: Tensor, state: Tensor) -> Tensor:  # noqa: D102
        return conv1x1(z * (1 + state), weight)


class AdditiveDirection(Perturbation):
    """``z + r``, r [B, D, h, w] without gradient: the projection is a sum of two."""

    def perturb(self, z: Tensor, state: Tensor) -> Tensor:  # noqa: D102
        return z + state

    def project(self, z: Tensor, weight: Tensor, state: Tensor) -> Tensor:  # noqa: D102
        return conv1x1(z, weight) + conv1x1(state, weight)
