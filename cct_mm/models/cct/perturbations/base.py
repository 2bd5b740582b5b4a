"""What a perturbation p_r is: three functions, and the algebraic form that makes it cheap.

- ``draw(context) -> state`` makes all choices, whether random or dependent on the prediction.
- ``perturb(z, state)`` applies them to z, as the paper writes it.
- ``project(z, weight, state)`` returns the 1x1 convolution of the perturbed map,
  ``weight @ perturb(z, state)``, without computing that map.

They serve G decoders at once, the ones of one perturbation, so that the number of calls does not
grow with the number of decoders. A perturbation of one of the four forms at the end of this file
implements ``draw`` only.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from mmengine.registry import Registry
from torch import Tensor

from .numbers import Numbers, Undrawn

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
    """All that ``draw`` may look at, for G decoders in one step. None of it carries a gradient.

    Args:
        z: The encoder's output.
        weight: W, the decoders' first layers.
        guidance: What the main head predicts for the batch.
        kl_gradient: ``kl_gradient(u, at_zero)`` returns the gradient of KL(p(y) || p(y + u)) with
            respect to u, where y = W z, p is the softmax of a decoder's logits, and the divergence
            is summed over the image. With ``at_zero`` it returns the divergence's Hessian at u = 0
            times u instead.
        numbers: The decoders' random numbers, of the shape that :meth:`Perturbation.numbers` asks
            for; they depend on seed, domain, iteration, decoder and image. None if it asks for
            none.

    Shape:
        - z: [B, D, h, w]
        - weight: [G, c, D]
        - u and the result of kl_gradient: [G, B, c, h, w]
    """

    z: Tensor
    weight: Tensor
    guidance: Guidance
    kl_gradient: Callable[[Tensor, bool], Tensor]
    numbers: Numbers | Undrawn | None = None

    def uniform(self, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Return the random numbers as draws from U(low, high).

        Shape:
            - output: [G, B, ...] and the numbers' shape, B = 1 if the batch shares them; float32

        Raises:
            ValueError: If the perturbation asks for none.
        """
        return self._drawn().uniform(low, high)

    def normal(self, deviation: float = 1.0) -> Tensor:
        """Return the random numbers as draws from N(0, deviation^2), of :meth:`uniform`'s shape."""
        return self._drawn().normal(deviation)

    def _drawn(self) -> Numbers:
        if self.numbers is None:
            raise ValueError(
                'a perturbation draws random numbers without asking for any: add the method '
                'numbers(self, z, weight) to its class, which returns the shape of those that a '
                'decoder needs for an image, such as (1, 1, 1)'
            )
        return self.numbers


def conv1x1(z: Tensor, weight: Tensor) -> Tensor:
    """Return the 1x1 convolutions of z by the first layers of G decoders.

    It is computed as one matrix product, because PyTorch's convolution uses TF32 on a GPU and is
    slow on a single core.

    Shape:
        - z: [B, D, h, w]
        - weight: [G, c, D], or [G, B, c, D] with weights for each image
        - output: [G, B, c, h, w]
    """
    # Not a broadcast product, which may copy z.
    y = torch.bmm(_rows(weight).expand(len(z), -1, -1), z.flatten(2))  # [B, G c, h w]
    return y.view(len(z), len(weight), -1, *z.shape[2:]).transpose(0, 1)


def conv1x1_backward(grad: Tensor, z: Tensor, weight: Tensor, grad_z: Tensor) -> Tensor:
    """Return the gradient of ``conv1x1``'s weight, and add that of z to ``grad_z``.

    They are ``grad z^T`` and ``weight^T grad``, summed over the decoders.

    Shape:
        - grad: [G, B, c, h, w]
        - z, grad_z: [B, D, h, w]
        - weight: [G, c, D], or [G, B, c, D] with weights for each image
        - output: [G, B, c, D], for each image
    """
    grad = grad.transpose(0, 1).flatten(3)  # [B, G, c, h w]
    rows = grad.flatten(1, 2)  # [B, G c, h w]
    # In the order of channels last, the one of `grad_z` in a network that is so.
    grad_z.flatten(2).mT.baddbmm_(rows.mT, _rows(weight).expand(len(z), -1, -1))
    product = rows @ z.flatten(2).mT  # [B, G c, D]
    return product.view(*grad.shape[:3], -1).transpose(0, 1)


def _rows(weight: Tensor) -> Tensor:
    """Return the weights of all decoders as one matrix, [G c, D] or [B, G c, D]."""
    if weight.dim() == 3:
        return weight.flatten(0, 1)
    return weight.transpose(0, 1).flatten(1, 2)


def _positions(maps: Tensor) -> Tensor:
    """Return the maps with one row for each position of all images.

    It is a view of maps whose channels are last in memory.

    Shape:
        - maps: [G, B, D, h, w]
        - output: [G, B h w, D]
    """
    return maps.movedim(2, -1).flatten(1, 3)


class Perturbation(ABC):
    """One of the paper's p_r (Section 3.2.3). It has arguments, but no learned parameters.

    A subclass of one of the forms below implements ``draw`` only. A perturbation that fits none of
    them derives from this class and implements ``draw`` and ``perturb``. The fused path computes it
    too, at the cost of a perturbed copy of z for each decoder.

    The state has the decoder as its first axis; where an axis is 1, decoders or images share it.

    Attributes:
        guided: Whether ``draw`` reads ``context.guidance.foreground``. The domain then has to name
            its foreground classes.
        shared: Whether all images of the batch share the random numbers.
        copies_z: Whether ``project`` makes a copy of z for each decoder.
        drawn_in_kernels: Whether it has Triton kernels that draw its random numbers, so that it
            gets :class:`~.numbers.Undrawn` where decoders are computed in Triton.
    """

    guided = False
    shared = False
    copies_z = True
    drawn_in_kernels = False

    def numbers(self, z: Tensor, weight: Tensor) -> tuple[int, ...] | None:
        """Return the shape of the random numbers that one decoder needs for one image.

        Args:
            z: The encoder's output, of which only the shape counts.
            weight: The decoders' first layers, likewise.

        Shape:
            - z: [B, D, h, w]
            - weight: [G, c, D]

        Returns:
            The shape; None where nothing is random.
        """
        return None

    @property
    def form(self) -> tuple[Callable, Callable]:
        """What tells algebraic forms apart: :meth:`project` and :meth:`project_backward`."""
        return type(self).project, type(self).project_backward

    @abstractmethod
    def draw(self, context: Context) -> Any:
        """Make all choices for G decoders and the batch and return them as the state."""

    @abstractmethod
    def perturb(self, z: Tensor, state: Any) -> Tensor:
        """Return the perturbed maps z~ of the decoders, [G, B, D, h, w]."""

    def project(self, z: Tensor, weight: Tensor, state: Any) -> Tensor:
        """Return the 1x1 convolution of :meth:`perturb`'s maps, each by its decoder's weight.

        A form overrides it to save the copies of z.

        Shape:
            - z: [B, D, h, w]
            - weight: [G, c, D]
            - output: [G, B, c, h, w]
        """
        perturbed = self.perturb(z, state).flatten(3)  # [G, B, D, h w]
        return (weight.unsqueeze(1) @ perturbed).unflatten(3, z.shape[2:])

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
            - grad: [G, B, c, h, w]
            - grad_z: [B, D, h, w]
            - output: [G, c, D]
        """
        _, backward = torch.func.vjp(lambda z, weight: self.project(z, weight, state), z, weight)
        own_grad_z, grad_weight = backward(grad)  # [B, D, h, w], [G, c, D]
        grad_z += own_grad_z
        return grad_weight


class SpatialMask(Perturbation):
    """Drop whole positions: ``z * M``. The state is the mask M, [G, B, 1, h, w], bool.

    It is projected by masking the c projected channels instead of the D channels of z.
    """

    copies_z = False

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
        return conv1x1_backward(grad * state, z, weight, grad_z).sum(dim=1)  # [G, c, D]


class ChannelMask(Perturbation):
    """Scale whole channels: ``z * m``. The state is m, [G, B, D, 1, 1].

    It is projected by scaling the weight's columns, for each image by its own m.
    """

    copies_z = False

    def perturb(self, z: Tensor, state: Tensor) -> Tensor:
        """Return ``z * m``."""
        return z * state

    def project(self, z: Tensor, weight: Tensor, state: Tensor) -> Tensor:
        """Return ``(W diag(m)) z``."""
        return conv1x1(z, self._scaled(weight, state))

    def project_backward(
        self, grad: Tensor, z: Tensor, weight: Tensor, state: Tensor, grad_z: Tensor
    ) -> Tensor:
        """Add ``(W diag(m))^T grad``, return ``(grad z^T) diag(m)``, summed over images."""
        by_image = conv1x1_backward(grad, z, self._scaled(weight, state), grad_z)  # [G, B, c, D]
        return self._scaled(by_image, state).sum(dim=1)  # [G, c, D]

    @staticmethod
    def _scaled(weight: Tensor, state: Tensor) -> Tensor:
        """Scale the columns of weights, [G, c, D] or [G, B, c, D], to [G, B, c, D]."""
        weight = weight.unsqueeze(1) if weight.dim() == 3 else weight
        return weight * state.flatten(2).unsqueeze(2)  # [G, B, 1, D]


class MultiplicativeNoise(Perturbation):
    """Add noise in proportion to z: ``(z * N) + z``.

    The state is a function that returns N, [G, B, D, h, w], where B is 1 if the images share it. It
    is called in the forward and in the backward pass, so that no N is kept in between.
    """

    def perturb(self, z: Tensor, state: Callable[[], Tensor]) -> Tensor:
        """Return ``(z * N) + z``."""
        return torch.addcmul(z, z, state().to(z.dtype))

    def project(self, z: Tensor, weight: Tensor, state: Callable[[], Tensor]) -> Tensor:
        """Return ``W z~``, as one product for all images."""
        y = _positions(self.perturb(z, state)) @ weight.mT  # [G, B h w, c]
        return y.unflatten(1, (len(z), *z.shape[2:])).movedim(-1, 2)

    def project_backward(
        self,
        grad: Tensor,
        z: Tensor,
        weight: Tensor,
        state: Callable[[], Tensor],
        grad_z: Tensor,
    ) -> Tensor:
        """Add ``(1 + N) * (W^T grad)``, return ``grad (z~)^T``."""
        scale = state().to(z.dtype).add_(1)  # [G, B, D, h, w]
        grad = _positions(grad)  # [G, B h w, c]
        back = (grad @ weight).unflatten(1, (len(z), *z.shape[2:])).movedim(-1, 2).mul_(scale)
        # On a CPU there is one decoder, and no map of z's size is to be written again.
        grad_z.add_(back[0] if len(back) == 1 else back.sum(dim=0))
        return grad.mT @ _positions(z * scale)  # [G, c, D]


class AdditiveDirection(Perturbation):
    """Add a direction: ``z + W^T s``, where W is the decoder's first layer.

    That is no restriction, since a part of an addend outside W's row space would have no effect on
    the decoder. The state is (s, W), with s [G, B, c, h, w] and W [G, c, D], without gradients.
    """

    copies_z = False

    def perturb(self, z: Tensor, state: tuple[Tensor, Tensor]) -> Tensor:
        """Return ``z + W^T s``."""
        s, fixed = state
        return z + (fixed.mT.unsqueeze(1) @ s.flatten(3)).unflatten(3, z.shape[2:])

    def project(self, z: Tensor, weight: Tensor, state: tuple[Tensor, Tensor]) -> Tensor:
        """Return ``W z + (W W^T) s``, which needs no further map of D channels."""
        s, fixed = state
        gram = (weight @ fixed.mT).unsqueeze(1)  # [G, 1, c, c]
        return conv1x1(z, weight) + (gram @ s.flatten(3)).unflatten(3, z.shape[2:])

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
        by_z = conv1x1_backward(grad, z, weight, grad_z)  # [G, B, c, D]
        by_s = grad.flatten(3) @ s.flatten(3).mT  # [G, B, c, c]
        return torch.baddbmm(by_z.sum(dim=1), by_s.sum(dim=1), fixed)  # [G, c, D]
