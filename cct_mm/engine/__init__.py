"""Hooks and optimizer wrappers, registered in mmengine's registries."""

from .cpu_amp import CPUAmpOptimWrapper
from .data_check import DataCheckHook
from .divergence import DivergenceHook
from .domain_check import DomainCheckHook
from .drawing import DomainVisualizationHook
from .progress import TrainingProgressHook

__all__ = [
    'CPUAmpOptimWrapper',
    'DataCheckHook',
    'DivergenceHook',
    'DomainCheckHook',
    'DomainVisualizationHook',
    'TrainingProgressHook',
]
