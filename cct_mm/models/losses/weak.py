"""The weakly supervised loss L_w: auxiliary predictions against pseudo-labels (Eq. 6)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from cct_mm.labels import IGNORE_INDEX

from .average import mean_weight


def weak_position_weight(labels: Tensor, valid: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the weight of each position in L_w: 1 / N at each of the N that have a pseudo-label.

    Args:
        labels: Pseudo-labels y_p; 255 where CAM and CRF decided for no class.
        valid: False on padding.
        dtype: Type of the output.

    Shape:
        - labels: [B, H, W]
        - valid: [B, 1, H, W]
        - output: [B, H, W], whose sum is 1, or 0 without any pseudo-label
    """
    counts = (valid.squeeze(1) & (labels != IGNORE_INDEX)).to(dtype)
    return mean_weight(counts)


def weak_cross_entropy(logits: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
    """Return the cross-entropy H(y_p, y_a) of an auxiliary decoder, summed with weights.

    Args:
        logits: The decoder's output before its softmax.
        labels: y_p.
        weight: From :func:`weak_position_weight`.

    Shape:
        - logits: [B, C, H, W]
        - labels, weight: [B, H, W]
        - output: scalar
    """
    loss = F.cross_entropy(logits, labels, ignore_index=IGNORE_INDEX, reduction='none')
    return (loss * weight).sum()


def weak_cross_entropy_with_gradient(
    logits: Tensor, labels: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor]:
    """Return :func:`weak_cross_entropy` of G decoders and its gradient ``w (y_a - onehot(y_p))``.

    Shape:
        - logits: [G, C, P]
        - labels, weight: [P]
        - output: [G] and [G, C, P]
    """
    log_prob = logits.log_softmax(dim=1)  # [G, C, P]
    # Where there is no label the weight is 0, so any class will do.
    index = labels.where(labels != IGNORE_INDEX, 0).expand(len(logits), 1, -1)  # [G, 1, P]
    value = -(log_prob.gather(1, index).squeeze(1) * weight).sum(dim=1)
    grad = log_prob.exp_().mul_(weight)
    return value, grad.scatter_add_(1, index, -weight.expand(len(logits), 1, -1))
