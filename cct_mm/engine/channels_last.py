"""Hook that stores the network's maps channels last, which convolutions on CPUs and GPUs prefer."""

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Convert the model to the channels-last memory format; results stay the same."""

    def before_run(self, runner) -> None:
        """Called by the runner."""
        runner.model.to(memory_format=torch.channels_last)
