"""Cross-Consistency Training: perturbations, auxiliary decoders and the unsupervised loss."""

from .auxiliary_bank import AuxiliaryBank
from .consistency_reference import Target, consistency_reference

__all__ = ['AuxiliaryBank', 'Target', 'consistency_reference']
