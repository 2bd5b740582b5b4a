"""What a perturbation p_r is: three functions, and the algebraic form that makes it cheap.

``draw(context) -> state`` makes all choices, be they random or dependent on the prediction.
``perturb(z, state)`` applies them to z as the paper writes it. ``project(z, weight, state)`` gives
the 1x1 convolution of the perturbed map, ``weight @ perturb(z, state)``, without making that map.
A perturbation that has one of the four forms at the end of this file only writes ``draw``.
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
    """What the guided perturbations know of a step; it is computed once for all decoders.

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
    """All that ``draw`` may look at, for one decoder in one step. Nothing of it carries gradient.

    Args:
        z: The encoder's output.
        weight: W, the decoder's first layer, which every perturbation meets first.
        guidance: The main head's view of the batch.
        kl_gradient: ``kl_gradient(u, at_zero)`` returns the gradient with respect to u of
            KL(p(y) || p(y + u)) summed over the image, where y = W z and p is the decoder's
            softmax. It is taken at u or, with ``at_zero``, it is replaced by its derivative along u
            at 0, which is the Hessian of the KL times u.
        key: What makes this decoder's draws its own: seed, domain, iteration, decoder.
        samples: For each image of the batch, the number that identifies it in the whole run.

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
        """Draw from N(0, 1) for each image by its own key, [B, *shape]; see :meth:`uniform`."""
        return torch.stack(
            [
                torch.empty(shape, device=self.z.device).normal_(
                    generator=self._generator(name, sample)
                )
                for sample in self.samples
            ]
        )

    def shared_uniform(self, name: str, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Draw from U(low, high), [*shape], once for the whole batch and alike on all ranks."""
        return torch.empty(shape, device=self.z.device).uniform_(
            low, high, generator=self._generator(name, 'batch')
        )

    def _generator(self, name: str, sample: keyed.Part) -> torch.Generator:
        return keyed.generator(*self.key, name, sample, device=self.z.device)


def conv1x1(z: Tensor, weight: Tensor) -> Tensor:
    """Apply a weight at each position of z.

    It is a matrix product, since a convolution runs in TF32 on a GPU and slowly on a single core.

    Shape:
        - z: [B, D, h, w]
        - weight: [c, D], or one for each image, [B, c, D]
        - output: [B, c, h, w]
    """
    return (weight @ z.flatten(2)).unflatten(2, z.shape[2:])


def outer(grad: Tensor, z: Tensor) -> Tensor:
    """Sum ``grad z^T`` over images and positions: the gradient of ``conv1x1``'s weight.

    Shape:
        - grad: [B, c, h, w]
        - z: [B, D, h, w]
        - output: [c, D]
    """
    return (grad.flatten(2) @ z.flatten(2).mT).sum(dim=0)


def add_conv1x1_(total: Tensor, grad: Tensor, weight: Tensor) -> None:
    """Add ``weight^T grad`` to total: the gradient of ``conv1x1``'s z.

    Shape:
        - total: [B, D, h, w], contiguous
        - grad: [B, c, h, w]
        - weight: [c, D], or one for each image, [B, c, D]
    """
    weight = weight.expand(len(grad), *weight.shape[-2:])  # [B, c, D]
    total.flatten(2).baddbmm_(weight.mT, grad.flatten(2))


class Perturbation(ABC):
    """One of the paper's p_r (Section 3.2.3). It has parameters, but nothing that is learned.

    A subclass of one of the forms below only writes ``draw``. One that fits no form writes ``draw``
    and ``perturb``: the fused path computes it too, at the cost of a perturbed copy of z.

    Attributes:
        guided: Whether ``draw`` reads the foreground, so that the domain has to name its classes.
    """

    guided = False

    @abstractmethod
    def draw(self, context: Context) -> Any:
        """Make all choices for one decoder and batch, and return them as the state."""

    @abstractmethod
    def perturb(self, z: Tensor, state: Any) -> Tensor:
        """Return the perturbed map z~, [B, D, h, w]."""

    def project(self, z: Tensor, weight: Tensor, state: Any) -> Tensor:
        """Return ``conv1x1(perturb(z, state), weight)``, computed the cheap way.

        Shape:
            - z: [B, D, h, w]
            - weight: [c, D]
            - output: [B, c, h, w]
        """
        return conv1x1(self.perturb(z, state), weight)

    def project_backward(
        self, grad: Tensor, z: Tensor, weight: Tensor, state: Any, grad_z: Tensor
    ) -> Tensor:
        """Pull a gradient of :meth:`project`'s output back to its inputs.

        Args:
            grad: Gradient of the output.
            z: As in :meth:`project`.
            weight: As in :meth:`project`.
            state: As in :meth:`project`.
            grad_z: Where the gradient of z is added; the decoders before have added theirs.

        Returns:
            Tensor: The gradient of weight.

        Shape:
            - grad: [B, c, h, w]
            - grad_z: [B, D, h, w], contiguous
            - output: [c, D]
        """
        _, pull_back = torch.func.vjp(lambda z, weight: self.project(z, weight, state), z, weight)
        of_z, of_weight = pull_back(grad)  # [B, D, h, w], [c, D]
        grad_z += of_z
        return of_weight


class SpatialMask(Perturbation):
    """Drops whole positions: ``z * M``. The c projected channels are masked instead of the D of z.

    The state is the mask M, [B, 1, h, w].
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
        return outer(grad, z)


class ChannelMask(Perturbation):
    """Scales whole channels: ``z * m``. The scales become part of the weight, image by image.

    The state is m, [B, D, 1, 1].
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
        return (grad.flatten(2) @ z.flatten(2).mT * scale).sum(dim=0)


class MultiplicativeNoise(Perturbation):
    """Adds noise in proportion: ``(z * N) + z``, projected as one convolution of a scaled z.

    The state is a function that draws N, [1, D, h, w] and shared by the batch, by its key. So no
    decoder has to keep an N of z's size from forward to backward.
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
        return outer(grad, z * scale)


class AdditiveDirection(Perturbation):
    """Adds a direction: ``z + W^T s``, where W is the decoder's own first layer.

    Of any other addend only the part in the row space of W would have an effect. The state is
    (s, W), with s [B, c, h, w] and W [c, D], neither of which carries gradient.
    """

    def perturb(self, z: Tensor, state: tuple[Tensor, Tensor]) -> Tensor:
        """Return ``z + W^T s``."""
        s, fixed = state
        return z + conv1x1(s, fixed.T)

    def project(self, z: Tensor, weight: Tensor, state: tuple[Tensor, Tensor]) -> Tensor:
        """Return ``W z + (W W^T) s``, with a matrix of c x c and no map of D channels."""
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
        return outer(grad, z) + outer(grad, s) @ fixed
