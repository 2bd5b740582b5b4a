"""Hooks and optimizer wrappers, registered in mmengine's registries."""

from .checkpoint_hook import CheckpointHook
from .checkpoint_loading import read_checkpoint
from .cpu_amp import CPUAmpOptimWrapper
from .divergence import DivergenceHook
from .domain_check import DomainCheckHook
from .drawing import DomainVisualizationHook
from .progress import TrainingProgressHook
from .resume import ExtendHook

__all__ = [
    'CPUAmpOptimWrapper',
    'CheckpointHook',
    'DivergenceHook',
    'DomainCheckHook',
    'DomainVisualizationHook',
    'ExtendHook',
    'TrainingProgressHook',
    'read_checkpoint',
]
