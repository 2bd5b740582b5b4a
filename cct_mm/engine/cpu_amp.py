"""Mixed precision on a CPU, which mmengine's ``AmpOptimWrapper`` refuses."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn


@OPTIM_WRAPPERS.register_module()
class CPUAmpOptimWrapper(OptimWrapper):
    """Forward passes in bfloat16 autocast on the CPU.

    bfloat16 has float32's range, so there is no loss scaling and nothing else to keep.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Enable autocast for the forward pass of one step."""
        with super().optim_context(model), torch.autocast('cpu', torch.bfloat16):
            yield
