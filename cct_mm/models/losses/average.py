"""Means over pixels that remain means when several GPUs share a batch."""

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor


def mean_over_ranks(count: Tensor) -> Tensor:
    """Return the mean of a number over all ranks, without gradient.

    DDP averages the ranks' gradients. A loss that divides its sum by this mean, and not by the
    count of its own rank, has the gradient of the mean over the pixels of all ranks.
    """
    if get_world_size() == 1:
        return count
    count = count.detach().to(torch.float32, copy=True)
    all_reduce(count, op='mean')
    return count


def mean_weight(counts: Tensor) -> Tensor:
    """Return the weights that make a sum over positions a mean over the positions that count.

    Args:
        counts: 1 where a position counts and 0 elsewhere, or a mask; any shape.

    Returns:
        Tensor: 1 / N where a position counts and 0 elsewhere. N is the number of positions that
        count (see :func:`mean_over_ranks`).
    """
    total = mean_over_ranks(counts.sum())
    # No rank that counts something has less than a share of 1 in as many ranks.
    return counts / total.clamp(min=1e-6)
