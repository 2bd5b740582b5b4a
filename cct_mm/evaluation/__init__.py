"""Metrics, registered in mmseg's registries."""

from .average_precision import ImageLevelMetric
from .domain_iou import DomainIoUMetric

__all__ = ['DomainIoUMetric', 'ImageLevelMetric']
