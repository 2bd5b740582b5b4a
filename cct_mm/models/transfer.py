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


def send(device: torch.device, *parts: Sequence[int]) -> list[Tensor]:
    """Return small lists of integers as tensors on the device, brought there in one copy.

    Args:
        device: Where to.
        *parts: The lists.

    Shape:
        - output: [length of the list] each, int64
    """
    block = torch.tensor([number for part in parts for number in part], dtype=torch.int64)
    if device.type == 'cuda':
        block = block.pin_memory().to(device, non_blocking=True)
    return list(block.split([len(part) for part in parts]))
