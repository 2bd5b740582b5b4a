"""Cross-Consistency Training: perturbations, auxiliary decoders and the unsupervised loss."""

from .auxiliary_bank import AuxiliaryBank
from .consistency_fused import consistency_fused, consistency_triton
from .consistency_reference import consistency_reference
from .unsupervised import Target, UnsupervisedLoss, UnsupervisedTerms

__all__ = [
    'AuxiliaryBank',
    'Target',
    'UnsupervisedLoss',
    'UnsupervisedTerms',
    'consistency_fused',
    'consistency_reference',
    'consistency_triton',
]
