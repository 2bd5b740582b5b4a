"""Whether many tensors are finite, in few operations and without waiting for the device."""

from collections.abc import Sequence

import torch
from torch import Tensor


@torch.no_grad()
def finite_norms(tensors: Sequence[Tensor]) -> Tensor:
    """Tell of each tensor whether it holds numbers only: its norm is finite then.

    Shape:
        - output: [number of tensors], bool, where they are
    """
    return torch.isfinite(torch.stack(torch._foreach_norm(list(tensors))))
