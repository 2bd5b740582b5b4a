"""Adversarial perturbation: I-VAT (paper, Section 3.2.3 and Supplement G, Eqs. 13-15)."""

import torch
from torch import Tensor

from .base import PERTURBATIONS, AdditiveDirection, Context


@PERTURBATIONS.register_module(name='I-VAT')
class IVAT(AdditiveDirection):
    r"""Add the direction that changes the decoder's own prediction the most.

    The gradient of KL(p(z) || p(z + r)) with respect to r (Eq. 14) is :math:`W^T g`, where W is the
    decoder's first layer and g is the gradient with respect to W r. So everything is computed on
    the c channels of W z instead of the D of z: :math:`r_{adv} = \epsilon W^T g / ||W^T g||`
    (Eq. 15), whose norm, over all positions of an image, is the root of :math:`g^T W W^T g`.

    As r -> 0 along a random direction d, the gradient becomes the KL's Hessian times d. This limit
    is the default: it needs no step size and suffers no cancellation. In float32 the finite form is
    accurate enough for xi >= 0.1; with the paper's and the released code's xi = 1e-6 it is rounding
    noise.

    Args:
        eps: Norm of the perturbation of each image, epsilon in Eq. 15, > 0.
        xi: Norm of the starting point r (Eq. 13); None takes the limit xi -> 0.
        start: Distribution of the starting point: ``'normal'`` (Eq. 13) or ``'uniform'``, the
            released code's U(-0.5, 0.5) scaled to norm xi.
        damping: Added to the gradient's norm before Eq. 15 divides by it, 1e-8 in the released
            code. Its gradient is that of the mean over the batch, with respect to r / xi: for
            xi = 1e-6 its norm is near 1e-11, and the perturbation's near a thousandth of eps.

    Raises:
        ValueError: If ``start`` is neither of these two, a norm is not positive, or ``damping`` is
            negative or given without ``xi``.
    """

    def __init__(
        self,
        eps: float = 2.0,
        xi: float | None = None,
        start: str = 'normal',
        damping: float = 0.0,
    ) -> None:
        if start not in ('normal', 'uniform'):
            raise ValueError(f'I-VAT: start is {start!r}, expected "normal" or "uniform"')
        if eps <= 0 or (xi is not None and xi <= 0):
            raise ValueError(
                f'I-VAT: eps is {eps}, xi is {xi}, expected norms > 0 (xi may be None, its limit)'
            )
        if damping < 0 or (damping and xi is None):
            raise ValueError(
                f'I-VAT: damping is {damping} with xi={xi}, expected a number >= 0, and xi with it '
                '(released code: damping=1e-8, xi=1e-6): without xi the gradient has no size'
            )
        self.eps = eps
        self.xi = xi
        self.start = start
        self.damping = damping

    def numbers(self, z: Tensor, weight: Tensor) -> tuple[int, ...]:
        """Return the shape of what the starting point is made of, see :meth:`_start`."""
        channels = z.shape[1] if self.start == 'uniform' else weight.shape[1]
        return channels, *z.shape[2:]

    def draw(self, context: Context) -> tuple[Tensor, Tensor]:
        """Return (s, W) with r_adv = W^T s, s [G, B, c, h, w]."""
        gram = context.weight @ context.weight.mT  # [G, c, c]
        # [G, B, c, h, w]
        gradient = context.kl_gradient(self._start(context, gram), self.xi is None)
        flat = gradient.flatten(3)  # [G, B, c, h w]
        square = (flat * (gram.unsqueeze(1) @ flat)).sum(dim=(2, 3))  # [G, B]
        scale = self.eps * self._inverse_norm(square, len(context.z))  # [G, B]
        return gradient * scale[..., None, None, None], context.weight

    def _inverse_norm(self, square: Tensor, batch: int) -> Tensor:
        """Return what normalizes W^T g, whose squared norm is given, in a batch of images."""
        if self.damping:
            factor = self.xi / batch
            return factor / (factor * square.clamp(min=0).sqrt() + self.damping)
        return square.clamp(min=torch.finfo(square.dtype).tiny).rsqrt()

    def _start(self, context: Context, gram: Tensor) -> Tensor:
        """Return u = W r for the starting point r.

        Shape:
            - gram: [G, c, c], W W^T
            - output: [G, B, c, h, w]
        """
        z, weight = context.z, context.weight
        scale = 1.0 if self.xi is None else self.xi
        if self.start == 'uniform':
            # [G, B, D, h w]
            r = context.uniform(-0.5, 0.5).to(z.dtype).flatten(3)
            norm = r.norm(dim=(2, 3), keepdim=True)  # [G, B, 1, 1]
            u = weight.unsqueeze(1) @ (scale * r / norm)  # [G, B, c, h w]
        else:
            # Only W r matters: for r ~ N(0, I) it is L n with W W^T = L L^T and n ~ N(0, I). Eq. 13
            # divides by the norm of all of r, which is sqrt(dim(z)) to a thousandth.
            n = context.normal(scale / z[0].numel() ** 0.5).to(z.dtype).flatten(3)
            u = cholesky(gram).unsqueeze(1) @ n  # [G, B, c, h w]
        return u.unflatten(3, z.shape[2:])


def cholesky(gram: Tensor) -> Tensor:
    """Return L with L L^T = gram, up to 1e-5 of its diagonal, because it may be singular.

    A GPU does not wait for it, as it would for a QR decomposition or a check of the result.

    Shape:
        - gram: [G, c, c], symmetric, no eigenvalue below 0
        - output: [G, c, c], lower triangular
    """
    gram = gram.clone()
    gram.diagonal(dim1=1, dim2=2).mul_(1 + 1e-5)  # [G, c]
    return torch.linalg.cholesky_ex(gram).L
