"""Segmentors: the method-free base and one file a method."""

from .cct import CCT
from .classifier import ImageClassifier
from .multi_domain import MultiDomainSegmentor

__all__ = ['CCT', 'ImageClassifier', 'MultiDomainSegmentor']
