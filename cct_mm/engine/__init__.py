"""Hooks and optimizer wrappers, registered in mmengine's registries."""

from .agreement import AgreementHook
from .checkpoint_hook import CheckpointHook
from .checkpoint_loading import read_checkpoint
from .cpu_amp import CPUAmpOptimWrapper
from .data_check import DataCheckHook, EvaluatorCheckHook
from .divergence import DivergenceHook
from .domain_check import DomainCheckHook
from .drawing import DomainVisualizationHook
from .extend import ExtendHook
from .lost_validation import LostValidationHook
from .pooled_norms import PooledNormsHook
from .progress import TrainingProgressHook
from .resume import ResumeHook

__all__ = [
    'AgreementHook',
    'CPUAmpOptimWrapper',
    'CheckpointHook',
    'DataCheckHook',
    'DivergenceHook',
    'DomainCheckHook',
    'DomainVisualizationHook',
    'EvaluatorCheckHook',
    'ExtendHook',
    'LostValidationHook',
    'PooledNormsHook',
    'ResumeHook',
    'TrainingProgressHook',
    'read_checkpoint',
]
