"""Transforms of pipelines: loading that names what is wrong with a file, image labels, views.

``LoadCheckedImage`` and ``LoadCheckedAnnotations`` replace mmseg's ``LoadImageFromFile`` and
``LoadAnnotations`` in any pipeline.
"""

from .domain_pipeline import DomainPipeline
from .image_labels import LoadImageLabels
from .label_values import label_table
from .load_annotations import LoadCheckedAnnotations, size_problem
from .load_image import LoadCheckedImage
from .unchecked import unchecked_loaders
from .unpack import UnpackInputs
from .views import AddView

__all__ = [
    'AddView',
    'DomainPipeline',
    'LoadCheckedAnnotations',
    'LoadCheckedImage',
    'LoadImageLabels',
    'UnpackInputs',
    'label_table',
    'size_problem',
    'unchecked_loaders',
]
