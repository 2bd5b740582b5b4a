"""Adversarial perturbation: I-VAT (paper, Section 3.2.3 and Supplement G, Eqs. 13-15)."""

import torch
from torch import Tensor

from .base import PERTURBATIONS, AdditiveDirection, Context, conv1x1


@PERTURBATIONS.register_module(name='I-VAT')
class IVAT(AdditiveDirection):
    r"""The direction in z that alters the decoder's own prediction the most.

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

    Raises:
        ValueError: If ``start`` is neither of these two, or a norm is not positive.
    """

    def __init__(self, eps: float = 2.0, xi: float | None = None, start: str = 'normal') -> None:
        if start not in ('normal', 'uniform'):
            raise ValueError(f'I-VAT: start is {start!r}, expected "normal" or "uniform"')
        if eps <= 0 or (xi is not None and xi <= 0):
            raise ValueError(
                f'I-VAT: eps is {eps}, xi is {xi}, expected norms > 0 (xi may be None, its limit)'
            )
        self.eps = eps
        self.xi = xi
        self.start = start

    def draw(self, context: Context) -> tuple[Tensor, Tensor]:
        """Return (s, W) with r_adv = W^T s, s [B, c, h, w]."""
        gradient = context.kl_gradient(self._start(context), self.xi is None)  # [B, c, h, w]
        gram = context.weight @ context.weight.T  # [c, c]
        # [B, 1, 1, 1]
        square = (gradient * conv1x1(gradient, gram)).sum(dim=(1, 2, 3), keepdim=True)
        norm = square.clamp(min=torch.finfo(square.dtype).tiny).sqrt()
        return self.eps * gradient / norm, context.weight

    def _start(self, context: Context) -> Tensor:
        """Return u = W r for the starting point r, [B, c, h, w]."""
        size = context.z.shape[1:]
        scale = 1.0 if self.xi is None else self.xi
        if self.start == 'uniform':
            r = context.uniform('start', *size, low=-0.5, high=0.5).to(context.z.dtype)
            norm = r.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
            return conv1x1(scale * r / norm, context.weight)
        # Only r's part in W's row space matters. With an orthonormal basis Q of it (W^T = Q R) the
        # part is Q n, n ~ N(0, I), and W Q n = R^T n. Eq. 13 divides by the norm of all of r, which
        # is sqrt(dim(z)) to a thousandth.
        _, upper = torch.linalg.qr(context.weight.T)
        n = context.normal('start', upper.shape[0], *size[1:]).to(context.z.dtype)
        return conv1x1(scale / size.numel() ** 0.5 * n, upper.T)
