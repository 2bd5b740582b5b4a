"""Hooks and optimizer wrappers, registered in mmengine's registries."""

from .agreement import AgreementHook
from .cpu_amp import CPUAmpOptimWrapper
from .data_check import DataCheckHook
from .divergence import DivergenceHook
from .domain_check import DomainCheckHook
from .drawing import DomainVisualizationHook
from .progress import TrainingProgressHook

__all__ = [
    'AgreementHook',
    'CPUAmpOptimWrapper',
    'DataCheckHook',
    'DivergenceHook',
    'DomainCheckHook',
    'DomainVisualizationHook',
    'TrainingProgressHook',
]
