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
        SystemExit: If float16 is asked for on a CPU, or with a fused SGD.
    """
    if torch.cuda.is_available():
        dtype = 'float16' if precision == 'auto' else precision
        if dtype == 'float16':
            _refuse_fused_sgd(cfg.optim_wrapper.optimizer)
        # Even a scale of 1 reads all gradients once more and waits for the device in each step.
        loss_scale = 'dynamic' if dtype == 'float16' else dict(enabled=False)
        cfg.optim_wrapper.update(type='AmpOptimWrapper', dtype=dtype, loss_scale=loss_scale)
    elif precision == 'float16':
        raise SystemExit(
            '--amp float16: no GPU found, and float16 needs one; use --amp bfloat16 on a CPU'
        )
    else:
        cfg.optim_wrapper.type = 'CPUAmpOptimWrapper'


def _refuse_fused_sgd(optimizer: dict) -> None:
    """Refuse the optimizer whose momentum float16's loss scale would spoil.

    The first steps are left out until a scale is found. PyTorch's fused SGD then takes memory that
    nobody has written for its momentum (seen in torch 2.14).
    """
    if optimizer.get('type') == 'SGD' and optimizer.get('fused') and optimizer.get('momentum'):
        raise SystemExit(
            '--amp float16: optim_wrapper.optimizer is an SGD with fused=True and momentum '
            f'{optimizer["momentum"]}, expected fused=False, because steps that the loss scale '
            'leaves out spoil its momentum; use fused=False, or --amp bfloat16'
        )
