"""Means over pixels that stay means where a batch is spread over several GPUs."""

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor


def mean_over_ranks(count: Tensor) -> Tensor:
    """Return the mean of a number over all ranks, without gradient; itself on a single one.

    DDP averages the ranks' gradients. A loss that divides its sum by this mean, not by its own
    rank's count, has the gradient of the mean over all ranks' pixels.
    """
    if get_world_size() == 1:
        return count
    count = count.detach().to(torch.float32, copy=True)
    all_reduce(count, op='mean')
    return count


def mean_weight(counts: Tensor) -> Tensor:
    """Return the weights that make a sum over positions a mean over those that count.

    Args:
        counts: 1 where a position counts, else 0; any shape, floating point.

    Returns:
        Tensor: 1 / N where a position counts, N their number (over all ranks, see
        :func:`mean_over_ranks`); 0 everywhere if none does.
    """
    total = mean_over_ranks(counts.sum())
    return counts / total.where(total > 0, 1)
