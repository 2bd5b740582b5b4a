"""Hooks and optimizer wrappers, registered in mmengine's registries."""

from .cpu_amp import CPUAmpOptimWrapper
from .divergence import DivergenceHook
from .domain_check import DomainCheckHook
from .drawing import DomainVisualizationHook
from .evaluator_check import EvaluatorCheckHook
from .pooled_norms import PooledNormsHook
from .progress import TrainingProgressHook

__all__ = [
    'CPUAmpOptimWrapper',
    'DivergenceHook',
    'DomainCheckHook',
    'DomainVisualizationHook',
    'EvaluatorCheckHook',
    'PooledNormsHook',
    'TrainingProgressHook',
]
