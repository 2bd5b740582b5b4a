"""Sources of a domain: built from their configs, and checked before the first iteration."""

from .build import augmented, build_source, check_domains, check_names
from .check import check_same_classes, check_source
from .first_samples import check_first_samples

__all__ = [
    'augmented',
    'build_source',
    'check_domains',
    'check_first_samples',
    'check_names',
    'check_same_classes',
    'check_source',
]
