"""Segmentors: the base, which knows no method, and one file for each method."""

from .batch import Batch
from .cct import CCT
from .classifier import ImageClassifier
from .cross_pseudo_supervision import CrossPseudoSupervision
from .entropy_minimization import EntropyMinimization
from .input_vat import InputVAT
from .mean_teacher import MeanTeacher
from .multi_domain import MultiDomainSegmentor, Needs
from .pseudo_labeling import PseudoLabeling
from .supervised import SupervisedSegmentor
from .weak_to_strong import WeakToStrong

__all__ = [
    'Batch',
    'CCT',
    'CrossPseudoSupervision',
    'EntropyMinimization',
    'ImageClassifier',
    'InputVAT',
    'MeanTeacher',
    'MultiDomainSegmentor',
    'Needs',
    'PseudoLabeling',
    'SupervisedSegmentor',
    'WeakToStrong',
]
