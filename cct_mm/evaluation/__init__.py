"""Metrics, registered in mmseg's registries."""

from .average_precision import ImageLevelMetric
from .domain_iou import DomainIoUMetric
from .evaluator_check import check_evaluator

__all__ = ['DomainIoUMetric', 'ImageLevelMetric', 'check_evaluator']
