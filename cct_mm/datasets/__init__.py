"""Datasets, registered in mmseg's registries."""

from .camvid import CamVidDataset
from .image_labels import LoadImageLabels
from .list_dataset import ListDataset
from .multi_domain import MultiDomainDataset, SampleIndex
from .samplers import AlternatingDomainSampler
from .sunrgbd import SUNRGBDDataset
from .toy_scenes import ToyScenesDataset
from .transforms import LoadCheckedAnnotations, LoadCheckedImage
from .views import AddView
from .wrappers import leaf_datasets

__all__ = [
    'AddView',
    'AlternatingDomainSampler',
    'CamVidDataset',
    'ListDataset',
    'LoadCheckedAnnotations',
    'LoadCheckedImage',
    'LoadImageLabels',
    'MultiDomainDataset',
    'SUNRGBDDataset',
    'SampleIndex',
    'ToyScenesDataset',
    'leaf_datasets',
]
