"""Metrics, registered in mmseg's registries."""

from .average_precision import ImageLevelMetric
from .domain_iou import DomainIoUMetric, class_scores, confusion_matrix
from .evaluator_check import check_evaluator

__all__ = [
    'DomainIoUMetric',
    'ImageLevelMetric',
    'check_evaluator',
    'class_scores',
    'confusion_matrix',
]
