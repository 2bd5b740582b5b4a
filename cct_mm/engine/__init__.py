"""Hooks and optimizer wrappers, registered in mmengine's registries."""

from .checkpoints.early_stopping import EarlyStoppingHook
from .checkpoints.extend import ExtendHook
from .checkpoints.hook import CheckpointHook
from .checkpoints.loading import read_checkpoint
from .checkpoints.lost_validation import LostValidationHook
from .checkpoints.resume import ResumeHook
from .data_check import DataCheckHook, EvaluatorCheckHook
from .divergence.hook import DivergenceHook
from .domain_check import DomainCheckHook
from .mixed_precision import CPUAmpOptimWrapper
from .mlflow import MLflowVisBackend
from .processes.agreement import AgreementHook
from .processes.pooled_norms import PooledNormsHook
from .runtime_info import RuntimeInfoHook
from .training_progress import TrainingProgressHook
from .visualization import DomainVisualizationHook, DomainVisualizer

__all__ = [
    'AgreementHook',
    'CPUAmpOptimWrapper',
    'CheckpointHook',
    'DataCheckHook',
    'DivergenceHook',
    'DomainCheckHook',
    'DomainVisualizationHook',
    'DomainVisualizer',
    'EarlyStoppingHook',
    'EvaluatorCheckHook',
    'ExtendHook',
    'LostValidationHook',
    'MLflowVisBackend',
    'PooledNormsHook',
    'ResumeHook',
    'RuntimeInfoHook',
    'TrainingProgressHook',
    'read_checkpoint',
]
