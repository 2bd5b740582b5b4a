"""The unsupervised loss L_u: distances between main and auxiliary predictions (Eqs. 2, 7-9).

Each distance is a pair of functions. The first returns its value at each position, summed over
classes. The second, which the fused path uses, returns the sum over positions and its gradient in
closed form. :class:`ConsistencyLoss` averages over positions.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn

from .average import mean_weight


def mse(target: Tensor, log_prob: Tensor) -> Tensor:
    """Return Eq. 7 at each position: the squared difference, summed over classes.

    Args:
        target: y^u, the main head's probabilities.
        log_prob: log y_a, the auxiliary decoder's log-probabilities.

    Shape:
        - target, log_prob: [B, C, ...]
        - output: [B, ...]
    """
    return (target - log_prob.exp()).square().sum(dim=1)


def mse_with_gradient(target: Tensor, logits: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weighted sum of :func:`mse` over positions, and its gradient.

    With e = y_a - y^u the gradient with respect to the logits is ``2 w y_a (e - <y_a, e>)``.

    Args:
        target: y^u.
        logits: The decoders' outputs.
        weight: w, the weight of each position.

    Shape:
        - target: [C, P]
        - logits: [G, C, P]
        - weight: [P]
        - output: [G] and [G, C, P]
    """
    prob = logits.softmax(dim=1)  # [G, C, P]
    error = prob - target  # [G, C, P]
    weighted = error * (2 * weight)
    value = 0.5 * error.mul_(weighted).sum(dim=(1, 2))
    product = weighted.mul_(prob)
    return value, product.addcmul_(prob, product.sum(dim=1, keepdim=True), value=-1)


def kl(target: Tensor, log_prob: Tensor) -> Tensor:
    """Return Eq. 8 at each position: KL(y^u || y_a). The arguments are those of :func:`mse`."""
    return (torch.xlogy(target, target) - target * log_prob).sum(dim=1)


def kl_with_gradient(target: Tensor, logits: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum of :func:`kl` and its gradient, as :func:`mse_with_gradient`.

    The gradient is ``w (y_a - y^u)``.
    """
    log_prob = logits.log_softmax(dim=1)  # [G, C, P]
    entropy = torch.xlogy(target, target).sum(dim=0)  # [P]
    value = ((entropy - (target * log_prob).sum(dim=1)) * weight).sum(dim=1)
    return value, log_prob.exp_().sub_(target).mul_(weight)


def js(target: Tensor, log_prob: Tensor) -> Tensor:
    """Return Eq. 9 at each position: the mean of KL(y^u || m) and KL(y_a || m).

    Here m is the mean of y^u and y_a. The arguments are those of :func:`mse`.
    """
    prob = log_prob.exp()
    log_mean = _log_mean(target, prob)
    to_target = torch.xlogy(target, target) - target * log_mean
    to_prob = prob * (log_prob - log_mean)
    return 0.5 * (to_target + to_prob).sum(dim=1)


def js_with_gradient(target: Tensor, logits: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum of :func:`js` and its gradient, as :func:`mse_with_gradient`.

    With a = log(y_a / m) / 2 the gradient is ``w y_a (a - <y_a, a>)``.
    """
    log_prob = logits.log_softmax(dim=1)  # [G, C, P]
    prob = log_prob.exp()  # [G, C, P]
    log_mean = _log_mean(target, prob)  # [G, C, P]
    entropy = torch.xlogy(target, target).sum(dim=0)  # [P]
    to_target = entropy - (target * log_mean).sum(dim=1)  # [G, P]
    half_log_ratio = log_prob.sub_(log_mean).mul_(0.5)  # a, [G, C, P]
    to_prob = (prob * half_log_ratio).sum(dim=1, keepdim=True)  # [G, 1, P]
    value = ((0.5 * to_target + to_prob.squeeze(1)) * weight).sum(dim=1)
    return value, half_log_ratio.sub_(to_prob).mul_(prob).mul_(weight)


SMALLEST_TARGET = 1e-5
"""What the released code adds to y^u where it takes the logarithm."""


def js_reversed(target: Tensor, log_prob: Tensor) -> Tensor:
    """Return Eq. 9 with both divergences reversed: the mean of KL(m || y^u) and KL(m || y_a).

    The released code has this form. The arguments are those of :func:`mse`.
    """
    prob = log_prob.exp()
    mean, log_mean = 0.5 * (target + prob), _log_mean(target, prob)
    of_both = 0.5 * (log_prob + (target + SMALLEST_TARGET).log())
    return (mean * (log_mean - of_both)).sum(dim=1)


def js_reversed_with_gradient(
    target: Tensor, logits: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the sum of :func:`js_reversed` and its gradient, as :func:`mse_with_gradient`.

    With a = (log m - (log y^u + log y_a) / 2) / 2 it is ``w (y_a (a - <y_a, a>) + (y_a - m) / 2)``.
    """
    log_prob = logits.log_softmax(dim=1)  # [G, C, P]
    prob = log_prob.exp()  # [G, C, P]
    mean = 0.5 * (target + prob)  # [G, C, P]
    of_both = 0.5 * (log_prob + (target + SMALLEST_TARGET).log())  # [G, C, P]
    log_ratio = _log_mean(target, prob) - of_both  # 2 a, [G, C, P]
    value = ((mean * log_ratio).sum(dim=1) * weight).sum(dim=1)
    along = log_ratio - (prob * log_ratio).sum(dim=1, keepdim=True)  # [G, C, P]
    return value, (prob * along + prob - mean).mul_(0.5 * weight)


def _log_mean(target: Tensor, prob: Tensor) -> Tensor:
    # Where both distributions are 0, the logarithm may be any finite number.
    return (0.5 * (target + prob)).clamp(min=torch.finfo(prob.dtype).tiny).log()


class Distance(NamedTuple):
    """The two functions of a distance measure d of Eq. 2."""

    value: Callable[[Tensor, Tensor], Tensor]
    with_gradient: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


DISTANCES = {
    'mse': Distance(mse, mse_with_gradient),
    'kl': Distance(kl, kl_with_gradient),
    'js': Distance(js, js_with_gradient),
    'js-reversed': Distance(js_reversed, js_reversed_with_gradient),
}


def position_weight(
    target: Tensor,
    valid: Tensor,
    confidence: float | None,
    average_over: str = 'kept',
) -> Tensor:
    """Return the weight of each position in L_u: 1 / N at each of those that count.

    Args:
        target: y^u.
        valid: False on padding, which does not count.
        confidence: beta of Conf-Mask (Supplement B.2): positions whose largest probability is not
            greater do not count. None counts all.
        average_over: What N counts, see :class:`ConsistencyLoss`.

    Shape:
        - target: [B, C, H, W]
        - valid: [B, 1, H, W], bool
        - output: [B, H, W], float32, whose sum is the share of the N positions that count
    """
    valid = valid.squeeze(1)  # [B, H, W]
    if confidence is None:
        return mean_weight(valid)
    kept = valid & (target.amax(dim=1) > confidence)
    if average_over == 'kept':
        return mean_weight(kept)
    return mean_weight(valid) * kept


@MODELS.register_module()
class ConsistencyLoss(nn.Module):
    r"""d(y^u, y_a^k) of Eq. 2: the mean distance over positions for one auxiliary decoder.

    Args:
        distance: ``'mse'`` (Eq. 7, the paper's choice), ``'kl'`` (Eq. 8), ``'js'`` (Eq. 9), or
            ``'js-reversed'``, which is the released code's form of it.
        over_classes: ``'mean'`` divides by the number of classes, as the released code does, for
            which lambda_u = 30 is meant; ``'sum'`` is Eqs. 7-9 to the letter, C times larger.
        confidence: beta of Conf-Mask in (0, 1), e.g. 0.5; None switches it off.
        average_over: With ``confidence``, the positions whose number the sum is divided by:
            ``'kept'``, those that count, or ``'valid'``, all but padding, so that the loss is small
            while the network is certain of little. The released code divides so for KL, and not by
            the number of classes, ``over_classes='sum'``.
        hard_labels: Learn from the class that y^u finds most probable, not from its probabilities.
            With ``'kl'`` that is the cross-entropy by which FixMatch and its like learn.

    Raises:
        ValueError: If ``distance``, ``over_classes`` or ``average_over`` is unknown, or
            ``confidence`` is outside (0, 1).
    """

    def __init__(
        self,
        distance: str = 'mse',
        over_classes: str = 'mean',
        confidence: float | None = None,
        average_over: str = 'kept',
        hard_labels: bool = False,
    ) -> None:
        super().__init__()
        if distance not in DISTANCES:
            raise ValueError(
                f'ConsistencyLoss: unknown distance {distance!r}, expected one of '
                f'{", ".join(DISTANCES)}'
            )
        if over_classes not in ('mean', 'sum'):
            raise ValueError(
                f'ConsistencyLoss: over_classes is {over_classes!r}, expected "mean" or "sum"'
            )
        if confidence is not None and not 0 < confidence < 1:
            raise ValueError(
                f'ConsistencyLoss: confidence is {confidence}, expected a probability in (0, 1), '
                'e.g. 0.5, or None for no confidence mask'
            )
        if average_over not in ('kept', 'valid'):
            raise ValueError(
                f'ConsistencyLoss: average_over is {average_over!r}, expected "kept" or "valid"'
            )
        self.name = distance
        self.distance = DISTANCES[distance]
        self.over_classes = over_classes
        self.confidence = confidence
        self.average_over = average_over
        self.hard_labels = hard_labels

    def labels(self, target: Tensor) -> Tensor:
        """Return what is learned from y^u: itself, or 1 at its most probable class.

        Shape:
            - target, output: [B, C, H, W]
        """
        if not self.hard_labels:
            return target
        return torch.zeros_like(target).scatter_(1, target.argmax(dim=1, keepdim=True), 1.0)

    def position_weight(self, target: Tensor, valid: Tensor) -> Tensor:
        """Return :func:`position_weight` times the factor 1/C of ``over_classes='mean'``."""
        weight = position_weight(target, valid, self.confidence, self.average_over)
        return weight / target.shape[1] if self.over_classes == 'mean' else weight

    def forward(self, target: Tensor, logits: Tensor, weight: Tensor) -> Tensor:
        """Return the weighted sum of the distance over positions.

        Args:
            target: y^u, the main head's probabilities, without gradient.
            logits: The auxiliary decoder's output before its softmax.
            weight: From :meth:`position_weight`, once for all decoders.

        Shape:
            - target, logits: [B, C, H, W]
            - weight: [B, H, W]
            - output: scalar
        """
        target = self.labels(target)
        distance = self.distance.value(target, logits.log_softmax(dim=1))  # [B, H, W]
        return (distance * weight).sum()
