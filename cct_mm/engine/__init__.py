"""Hooks and optimizer wrappers, registered in mmengine's registries."""

from .channels_last import ChannelsLastHook
from .cpu_amp import CPUAmpOptimWrapper
from .domain_check import DomainCheckHook
from .progress import TrainingProgressHook

__all__ = [
    'CPUAmpOptimWrapper',
    'ChannelsLastHook',
    'DomainCheckHook',
    'TrainingProgressHook',
]
