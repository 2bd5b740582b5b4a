"""Hooks and optimizer wrappers, registered in mmengine's registries."""

from .agreement import AgreementHook
from .checkpoint_hook import CheckpointHook
from .checkpoint_loading import read_checkpoint
from .cpu_amp import CPUAmpOptimWrapper
from .data_check import DataCheckHook
from .divergence import DivergenceHook
from .domain_check import DomainCheckHook
from .drawing import DomainVisualizationHook
from .progress import TrainingProgressHook
from .resume import ExtendHook

__all__ = [
    'AgreementHook',
    'CPUAmpOptimWrapper',
    'DataCheckHook',
    'CheckpointHook',
    'DivergenceHook',
    'DomainCheckHook',
    'DomainVisualizationHook',
    'ExtendHook',
    'TrainingProgressHook',
    'read_checkpoint',
]
