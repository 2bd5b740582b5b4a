"""Segmentors: the base, which knows no method, and one file for each method."""

from .batch import Batch
from .cct import CCT
from .classifier import ImageClassifier
from .mean_teacher import MeanTeacher
from .multi_domain import MultiDomainSegmentor, Needs
from .supervised import SupervisedSegmentor
from .weak_to_strong import WeakToStrong

__all__ = [
    'Batch',
    'CCT',
    'ImageClassifier',
    'MeanTeacher',
    'MultiDomainSegmentor',
    'Needs',
    'SupervisedSegmentor',
    'WeakToStrong',
]
