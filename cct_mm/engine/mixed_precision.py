"""Train in mixed precision, on GPUs and on CPUs."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn


@OPTIM_WRAPPERS.register_module()
class CPUAmpOptimWrapper(OptimWrapper):
    """Run forward passes in bfloat16 autocast on the CPU.

    mmengine's ``AmpOptimWrapper`` refuses a CPU. bfloat16 has the range of float32, so that no loss
    scale is needed.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Enable autocast for the forward pass of one step."""
        with super().optim_context(model), torch.autocast('cpu', torch.bfloat16):
            yield


def enable_amp(cfg: Config, precision: str) -> None:
    """Switch the optimizer wrapper of a config to mixed precision.

    Args:
        cfg: The config, which is changed.
        precision: ``float16``, ``bfloat16``, or ``auto``: float16 on a GPU, bfloat16 on a CPU.

    Raises:
        SystemExit: If float16 is asked for on a CPU.
    """
    if torch.cuda.is_available():
        dtype = 'float16' if precision == 'auto' else precision
        loss_scale = 'dynamic' if dtype == 'float16' else 1.0
        cfg.optim_wrapper.update(type='AmpOptimWrapper', dtype=dtype, loss_scale=loss_scale)
    elif precision == 'float16':
        raise SystemExit(
            '--amp float16: no GPU found, and float16 needs one; use --amp bfloat16 on a CPU'
        )
    else:
        cfg.optim_wrapper.type = 'CPUAmpOptimWrapper'
