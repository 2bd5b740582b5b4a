"""Leave out optimizer steps whose loss or gradient is not finite."""

from collections.abc import Sequence

import torch
from mmengine.dist import all_reduce
from mmengine.optim import OptimWrapper
from torch import Tensor, nn


@torch.no_grad()
def finite_norms(tensors: Sequence[Tensor]) -> Tensor:
    """Tell for each tensor whether all its values are finite, without waiting for the device.

    Args:
        tensors: At least one tensor; a norm is finite if all values are.

    Shape:
        - output: [number of tensors], bool, on the device of the tensors
    """
    return torch.isfinite(torch.stack(torch._foreach_norm(list(tensors))))


class StepGuard:
    """Keep an optimizer wrapper from taking a step whose loss or gradient is not finite.

    All processes agree on each step, so that their weights stay equal; each step waits for the
    device. A step that is left out changes nothing: neither weights, momentum and the loss scale
    nor the network's buffers, such as the running statistics of batch norms. If gradients are
    accumulated, those of earlier iterations are lost with it. The learning rate's schedule and the
    count of iterations go on.

    With a loss scale (``AmpOptimWrapper`` in float16) only losses count, because the scale is found
    by gradients beyond float16's range, and PyTorch leaves those steps out by itself.

    Args:
        model: The network, wrapped for several processes or not.
        optim_wrapper: The wrapper; its methods ``backward`` and ``step`` are replaced.
    """

    def __init__(self, model: nn.Module, optim_wrapper: OptimWrapper) -> None:
        self.model = model
        self.optim_wrapper = optim_wrapper
        self.left_out = False
        """Whether the latest step was left out."""
        self._buffers: list[tuple[dict, str, Tensor, Tensor]] = []
        self._backward, self._step = optim_wrapper.backward, optim_wrapper.step
        # mmengine has no hook between backward and step.
        optim_wrapper.backward, optim_wrapper.step = self._guarded_backward, self._guarded_step

    def remember(self) -> None:
        """Copy the buffers before a forward pass changes them."""
        self._buffers = [
            (module._buffers, name, value, value.clone())
            for module in self.model.modules()
            for name, value in module._buffers.items()
            if value is not None
        ]

    def _guarded_backward(self, loss: Tensor, **kwargs) -> None:
        self._backward(loss, **kwargs)
        finite = torch.isfinite(loss.detach()).all()
        scaler = getattr(self.optim_wrapper, 'loss_scaler', None)
        if scaler is None or not scaler.is_enabled():
            groups = self.optim_wrapper.optimizer.param_groups
            gradients = [p.grad for g in groups for p in g['params'] if p.grad is not None]
            if gradients:
                finite &= finite_norms(gradients).all()
        wrong = (~finite).float()
        all_reduce(wrong, op='max')
        self.left_out = bool(wrong.item())
        if self.left_out:
            self.optim_wrapper.zero_grad()
            for buffers, name, value, copy in self._buffers:
                # Some are updated in place, others are replaced.
                value.copy_(copy)
                buffers[name] = value

    def _guarded_step(self, **kwargs) -> None:
        if not self.left_out:
            self._step(**kwargs)
