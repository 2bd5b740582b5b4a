"""What a perturbation p_r is: three functions, and the algebraic form that makes it cheap.

- ``draw(context) -> state`` makes all choices, whether random or dependent on the prediction.
- ``perturb(z, state)`` applies them to z, as the paper writes it.
- ``project(z, weight, state)`` returns the 1x1 convolution of the perturbed map,
  ``weight @ perturb(z, state)``, without computing that map.

A perturbation of one of the four forms at the end of this file implements ``draw`` only.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from mmengine.registry import Registry
from torch import Tensor

from cct_mm import keyed

PERTURBATIONS = Registry('perturbation', scope='cct_mm')


@dataclass
class Guidance:
    """What the guided perturbations know of a batch; it is computed once for all decoders.

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
        """Return ``compute()``, which is called once in a step for each name."""
        if name not in self._shared:
            self._shared[name] = compute()
        return self._shared[name]


@dataclass
class Context:
    """All that ``draw`` may look at, for one decoder in one step. None of it carries a gradient.

    Args:
        z: The encoder's output.
        weight: W, the decoder's first layer.
        guidance: What the main head predicts for the batch.
        kl_gradient: ``kl_gradient(u, at_zero)`` returns the gradient of KL(p(y) || p(y + u)) with
            respect to u, where y = W z, p is the softmax of the decoder's logits, and the
            divergence is summed over the image. With ``at_zero`` it returns the divergence's
            Hessian at u = 0 times u instead.
        key: Seed, domain, iteration and decoder, on which the random numbers depend.
        samples: For each image of the batch, the key that identifies it in the whole run.

    Shape:
        - z: [B, D, h, w]
        - weight: [c, D]
        - u and the result of kl_gradient: [B, c, h, w]
    """

    z: Tensor
    weight: Tensor
    guidance: Guidance
    kl_gradient: Callable[[Tensor, bool], Tensor]
    key: tuple[keyed.Part, ...]
    samples: list[keyed.Part]

    def uniform(self, name: str, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Draw from U(low, high) for each image, by the image's own key.

        Args:
            name: What the numbers are for. Two names give independent numbers.
            *shape: Shape of the numbers for one image.
            low: Lower end.
            high: Upper end.

        Shape:
            - output: [B, *shape], float32 on z's device
        """
        drawn = [
            torch.empty(shape, device=self.z.device).uniform_(low, high, generator=generator)
            for generator in self._generators(name)
        ]
        return torch.stack(drawn)

    def normal(self, name: str, *shape: int) -> Tensor:
        """Draw from N(0, 1) for each image, [B, *shape]; see :meth:`uniform`."""
        drawn = [
            torch.empty(shape, device=self.z.device).normal_(generator=generator)
            for generator in self._generators(name)
        ]
        return torch.stack(drawn)

    def shared_uniform(self, name: str, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Draw from U(low, high), [*shape], the same for the whole batch and on all ranks."""
        return torch.empty(shape, device=self.z.device).uniform_(
            low, high, generator=self._generator(name, 'batch')
        )

    def _generators(self, name: str) -> list[torch.Generator]:
        return [self._generator(name, sample) for sample in self.samples]

    def _generator(self, name: str, sample: keyed.Part) -> torch.Generator:
        return keyed.generator(*self.key, name, sample, device=self.z.device)


def conv1x1(z: Tensor, weight: Tensor) -> Tensor:
    """Return the 1x1 convolution of z.

    It is computed as a matrix product, because PyTorch's convolution uses TF32 on a GPU and is slow
    on a single core.

    Shape:
        - z: [B, D, h, w]
        - weight: [c, D], or [B, c, D] with one weight for each image
        - output: [B, c, h, w]
    """
    return (weight @ z.flatten(2)).unflatten(2, z.shape[2:])


def outer(grad: Tensor, z: Tensor) -> Tensor:
    """Return the gradient of ``conv1x1``'s weight: ``grad z^T``, summed over images and positions.

    Shape:
        - grad: [B, c, h, w]
        - z: [B, D, h, w]
        - output: [c, D]
    """
    return (grad.flatten(2) @ z.flatten(2).mT).sum(dim=0)


def add_conv1x1_(total: Tensor, grad: Tensor, weight: Tensor) -> None:
    """Add the gradient of ``conv1x1``'s z, ``weight^T grad``, to ``total``.

    Shape:
        - total: [B, D, h, w], contiguous
        - grad: [B, c, h, w]
        - weight: [c, D], or [B, c, D] with one weight for each image
    """
    weight = weight.expand(len(grad), *weight.shape[-2:])  # [B, c, D]
    total.flatten(2).baddbmm_(weight.mT, grad.flatten(2))


class Perturbation(ABC):
    """One of the paper's p_r (Section 3.2.3). It has arguments, but no learned parameters.

    A subclass of one of the forms below implements ``draw`` only. A perturbation that fits none of
    them derives from this class and implements ``draw`` and ``perturb``. The fused path computes it
    too, at the cost of a perturbed copy of z.

    Attributes:
        guided: Whether ``draw`` reads ``context.guidance.foreground``. The domain then has to name
            its foreground classes.
    """

    guided = False

    @abstractmethod
    def draw(self, context: Context) -> Any:
        """Make all choices for one decoder and batch and return them as the state."""

    @abstractmethod
    def perturb(self, z: Tensor, state: Any) -> Tensor:
        """Return the perturbed map z~, [B, D, h, w]."""

    def project(self, z: Tensor, weight: Tensor, state: Any) -> Tensor:
        """Return ``conv1x1(perturb(z, state), weight)``; a form overrides it to save the copy of z.

        Shape:
            - z: [B, D, h, w]
            - weight: [c, D]
            - output: [B, c, h, w]
        """
        return conv1x1(self.perturb(z, state), weight)

    def project_backward(
        self, grad: Tensor, z: Tensor, weight: Tensor, state: Any, grad_z: Tensor
    ) -> Tensor:
        """Return the gradient of ``weight`` and add that of ``z`` to ``grad_z``.

        Args:
            grad: Gradient of :meth:`project`'s output.
            z: As in :meth:`project`.
            weight: As in :meth:`project`.
            state: As in :meth:`project`.
            grad_z: The sum of z's gradients over the decoders so far.

        Shape:
            - grad: [B, c, h, w]
            - grad_z: [B, D, h, w], contiguous
            - output: [c, D]
        """
        _, backward = torch.func.vjp(lambda z, weight: self.project(z, weight, state), z, weight)
        own_grad_z, grad_weight = backward(grad)  # [B, D, h, w], [c, D]
        grad_z += own_grad_z
        return grad_weight


class SpatialMask(Perturbation):
    """Drop whole positions: ``z * M``. The state is the mask M, [B, 1, h, w].

    It is projected by masking the c projected channels instead of the D channels of z.
    """

    def perturb(self, z: Tensor, state: Tensor) -> Tensor:
        """Return ``z * M``."""
        return z * state

    def project(self, z: Tensor, weight: Tensor, state: Tensor) -> Tensor:
        """Return ``(W z) * M``."""
        return conv1x1(z, weight) * state

    def project_backward(
        self, grad: Tensor, z: Tensor, weight: Tensor, state: Tensor, grad_z: Tensor
    ) -> Tensor:
        """Add ``W^T (grad * M)``, return ``(grad * M) z^T``."""
        grad = grad * state  # [B, c, h, w]
        add_conv1x1_(grad_z, grad, weight)
        return outer(grad, z)  # [c, D]


class ChannelMask(Perturbation):
    """Scale whole channels: ``z * m``. The state is m, [B, D, 1, 1].

    It is projected by scaling the weight's columns, for each image by its own m.
    """

    def perturb(self, z: Tensor, state: Tensor) -> Tensor:
        """Return ``z * m``."""
        return z * state

    def project(self, z: Tensor, weight: Tensor, state: Tensor) -> Tensor:
        """Return ``(W diag(m)) z``."""
        return conv1x1(z, weight * state.flatten(1).unsqueeze(1))

    def project_backward(
        self, grad: Tensor, z: Tensor, weight: Tensor, state: Tensor, grad_z: Tensor
    ) -> Tensor:
        """Add ``(W diag(m))^T grad``, return ``(grad z^T) diag(m)``, summed over images."""
        scale = state.flatten(1).unsqueeze(1)  # [B, 1, D]
        add_conv1x1_(grad_z, grad, weight * scale)
        return (grad.flatten(2) @ z.flatten(2).mT * scale).sum(dim=0)  # [c, D] of [B, c, D]


class MultiplicativeNoise(Perturbation):
    """Add noise in proportion to z: ``(z * N) + z``.

    The state is a function that draws N, [1, D, h, w], which all images share. The backward pass
    draws the same N again from its key, so no decoder keeps an N of z's size in memory.
    """

    def perturb(self, z: Tensor, state: Callable[[], Tensor]) -> Tensor:
        """Return ``(z * N) + z``."""
        return torch.addcmul(z, z, state().to(z.dtype))

    def project_backward(
        self,
        grad: Tensor,
        z: Tensor,
        weight: Tensor,
        state: Callable[[], Tensor],
        grad_z: Tensor,
    ) -> Tensor:
        """Add ``(1 + N) * (W^T grad)``, return ``grad (z~)^T``."""
        scale = state().to(z.dtype).add_(1)  # [1, D, h, w]
        grad_z.addcmul_(conv1x1(grad, weight.T), scale)
        return outer(grad, z * scale)  # [c, D]


class AdditiveDirection(Perturbation):
    """Add a direction: ``z + W^T s``, where W is the decoder's first layer.

    That is no restriction, since a part of an addend outside W's row space would have no effect on
    the decoder. The state is (s, W), with s [B, c, h, w] and W [c, D], without gradients.
    """

    def perturb(self, z: Tensor, state: tuple[Tensor, Tensor]) -> Tensor:
        """Return ``z + W^T s``."""
        s, fixed = state
        return z + conv1x1(s, fixed.T)

    def project(self, z: Tensor, weight: Tensor, state: tuple[Tensor, Tensor]) -> Tensor:
        """Return ``W z + (W W^T) s``, which needs no further map of D channels."""
        s, fixed = state
        return conv1x1(z, weight) + conv1x1(s, weight @ fixed.T)

    def project_backward(
        self,
        grad: Tensor,
        z: Tensor,
        weight: Tensor,
        state: tuple[Tensor, Tensor],
        grad_z: Tensor,
    ) -> Tensor:
        """Add ``W^T grad``, return ``grad z^T + (grad s^T) W``."""
        s, fixed = state
        add_conv1x1_(grad_z, grad, weight)
        return outer(grad, z) + outer(grad, s) @ fixed  # [c, D] + [c, c] [c, D]
