"""Copies from the host to the device that do not wait for it."""

from collections.abc import Sequence

import torch
from torch import Tensor


def stack_on(device: torch.device, tensors: Sequence[Tensor]) -> Tensor:
    """Return the stacked tensors on the device; a copy to CUDA is queued behind its other work.

    Such a copy needs pinned memory. PyTorch keeps that of earlier calls, and gives it away again
    once the copy out of it is done.

    Args:
        device: Where to.
        tensors: At least one, all of one shape, type and device.
    """
    first = tensors[0]
    if device.type != 'cuda' or first.device.type != 'cpu':
        return torch.stack(list(tensors)).to(device)
    shape = (len(tensors), *first.shape)
    block = torch.empty(shape, dtype=first.dtype, pin_memory=True)
    return torch.stack(list(tensors), out=block).to(device, non_blocking=True)
