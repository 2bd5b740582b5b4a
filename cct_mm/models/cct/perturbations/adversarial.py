"""Adversarial perturbation: I-VAT (paper, Section 3.2.3 and Supplement G, Eqs. 13-15)."""

import torch
from torch import Tensor

from .base import PERTURBATIONS, AdditiveDirection, Context


@PERTURBATIONS.register_module(name='I-VAT')
class IVAT(AdditiveDirection):
    r"""The direction in z that alters the decoder's own prediction the most.

    The gradient of KL(p(z) || p(z + r)) at a small random r (Eq. 14) is, as r -> 0 along d, the
    product of the KL's Hessian with d: :math:`J^T (diag(p) - p p^T) J d`. That limit is the default:
    it needs no step size and has no cancellation. In float32 the finite form is exact enough for
    xi >= 0.1, while the xi = 1e-6 of the paper and the released code is rounding noise.

    Args:
        eps: Norm of the perturbation of each image, epsilon in Eq. 15.
        xi: Norm of the starting point r (Eq. 13); None takes the limit xi -> 0.
        start: Distribution of the starting direction: ``'normal'`` (Eq. 13) or ``'uniform'``, the
            released code's U(-0.5, 0.5).

    Raises:
        ValueError: For a start other than these two.
    """

    def __init__(self, eps: float = 2.0, xi: float | None = None, start: str = 'normal') -> None:
        if start not in ('normal', 'uniform'):
            raise ValueError(f'I-VAT: start is {start!r}, expected "normal" or "uniform"')
        self.eps = eps
        self.xi = xi
        self.start = start

    def draw(self, context: Context) -> Tensor:
        """Return r_adv, [B, D, h, w]."""
        z = context.z
        if self.start == 'normal':
            direction = context.normal('direction', *z.shape[1:])
        else:
            direction = context.uniform('direction', *z.shape[1:], low=-0.5, high=0.5)
        direction = direction.to(z.dtype)
        if self.xi is None:
            gradient = _curvature_product(context, direction)
        else:
            start = self.xi * direction / _norm(direction)
            gradient = _kl_gradient(context, start)
        return self.eps * gradient / _norm(gradient).clamp(min=torch.finfo(z.dtype).tiny)


def _norm(x: Tensor) -> Tensor:
    """Euclidean norm of each image's map, [B, 1, 1, 1]."""
    return x.flatten(1).norm(dim=1).view(-1, 1, 1, 1)


def _curvature_product(context: Context, direction: Tensor) -> Tensor:
    """Hessian of the KL at r = 0 times ``direction``, by one jvp and one vjp of the decoder."""
    logits, tangent = torch.func.jvp(context.decode, (context.z,), (direction,))
    prob = logits.softmax(dim=1)
    tangent = prob * (tangent - (prob * tangent).sum(dim=1, keepdim=True))
    _, pull_back = torch.func.vjp(context.decode, context.z)
    (gradient,) = pull_back(tangent * context.valid_pixels)
    return gradient


def _kl_gradient(context: Context, start: Tensor) -> Tensor:
    """Eq. 14 at a finite starting point."""
    log_prob = context.decode(context.z).log_softmax(dim=1)

    def divergence(r: Tensor) -> Tensor:
        perturbed = context.decode(context.z + r).log_softmax(dim=1)
        return (log_prob.exp() * (log_prob - perturbed) * context.valid_pixels).sum()

    return torch.func.grad(divergence)(start)
