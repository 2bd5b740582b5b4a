"""Datasets, samplers and transforms, registered in mmseg's registries.

One batch passes through them in this order: the sampler (``samplers``) says which images an
iteration takes; the dataset of all domains (``multi_domain``) seeds the random numbers of each by
its key and lets its source load it; the source's dataset (``list_dataset`` or one of mmseg's) knows
the files, and its pipeline (``transforms``) loads, augments and packs the sample, while ``filling``
follows which pixels are no image.
"""

from .cached_features import CachedFeaturesDataset
from .camvid import CamVidDataset
from .list_dataset import ListDataset
from .multi_domain import MultiDomainDataset, SampleIndex
from .samplers import AlternatingDomainSampler
from .sunrgbd import SUNRGBDDataset
from .toy_scenes import ToyScenesDataset
from .transforms import AddView, LoadCheckedAnnotations, LoadCheckedImage, LoadImageLabels
from .wrappers import leaf_datasets

__all__ = [
    'AddView',
    'AlternatingDomainSampler',
    'CachedFeaturesDataset',
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
