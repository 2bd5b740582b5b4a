"""Metrics, registered in mmseg's registries."""

from .domain_iou import DomainIoUMetric

__all__ = ['DomainIoUMetric']
