"""Images with what a frozen backbone makes of them, which is computed once and kept on disk."""

import hashlib
import itertools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine import fileio
from mmseg.registry import DATASETS
from torch.utils.data import Dataset

from cct_mm import keyed

from .feature_files import content_key, read_features
from .multi_domain import MultiDomainDataset, SampleIndex, Source
from .transforms import LoadImageLabels
from .wrappers import pipelines, wrappers_of

DTYPES = ('float16', 'float32')
PLACES = ('data_root', 'ann_file', 'data_prefix', 'indices')
"""Arguments of a data set that say where its images are, not what becomes of them."""


@DATASETS.register_module()
class CachedFeaturesDataset(MultiDomainDataset):
    """A ``MultiDomainDataset`` for training whose images come augmented, with a backbone's maps.

    Of each image there are several augmented versions. ``tools/cache_features.py`` makes them and
    the maps, from which a model with ``frozen_backbone`` goes on. Random numbers of a version are
    keyed by the image's content, so that it is the same in any list and for any seed of a run. A
    pass over a source shows each image in its next version, from one on that the run's seed says:
    no version comes twice before all have come.

    Args:
        domains: As for :class:`MultiDomainDataset`.
        cache: Folder of the features. They lie in ``DOMAIN/KIND``, a file for each version, named
            by the content of the image and of its mask; ``features.json`` beside them says what
            they were made with.
        versions: Number of versions of each image, or for each kind of source its number.
        dtype: ``'float16'``, in which maps are kept, or ``'float32'``, which takes twice the space.
        augmentation: As for :class:`MultiDomainDataset`.

    Raises:
        ValueError: If a number of versions is missing or not above 0, for an unknown dtype, if a
            wrapper joins several images, or as for :class:`MultiDomainDataset`.
        FileNotFoundError: If files are missing.
    """

    def __init__(
        self,
        domains: Mapping[str, Mapping[str, dict]],
        cache: str | os.PathLike,
        versions: int | Mapping[str, int],
        dtype: str = 'float16',
        augmentation: Mapping[str, dict] | None = None,
    ) -> None:
        super().__init__(domains, augmentation)
        if dtype not in DTYPES:
            raise ValueError(f'{type(self).__name__}: dtype is {dtype!r}, expected one of {DTYPES}')
        self.cache, self.dtype = Path(cache), dtype
        self.versions = [_number(versions, source.supervision) for source in self.sources]
        self._augmentation = augmentation
        self._configs = domains
        for source in self.sources:
            _check_single_images(source)
        self._keys = [
            [
                content_key(source.dataset.get_data_info(i), source.supervision != 'unlabeled')
                for i in range(len(source.dataset))
            ]
            for source in self.sources
        ]

    def folder(self, source: int) -> Path:
        """Return the folder of a source's features."""
        return self.cache / self.sources[source].domain / self.sources[source].supervision

    def file(self, source: int, index: int, version: int) -> Path:
        """Return the file with one version of an image."""
        return self.folder(source) / f'{self._keys[source][index]}-{version}.npz'

    def files(self, source: int) -> list[Path]:
        """Return the files of a source: all versions of the first image, of the second, ..."""
        images, versions = range(len(self._keys[source])), range(self.versions[source])
        return [self.file(source, index, version) for index in images for version in versions]

    def settings(self, source: int) -> dict[str, Any]:
        """Return what the features of a source depend on, besides images and backbone."""
        domain, kind, dataset = self.sources[source]
        config = self._configs[domain][kind]
        settings = dict(
            source={key: value for key, value in config.items() if key not in PLACES},
            # Pairs, because their order counts.
            augmentation=list((self._augmentation or {}).items()),
            dtype=self.dtype,
        )
        labels = _image_label_files(dataset)
        return {**settings, 'image_labels': labels} if labels else settings

    def augmented(self, source: int, index: int, version: int) -> dict[str, Any]:
        """Return one version of an image, from the image itself."""
        domain, kind, dataset = self.sources[source]
        key = self._keys[source][index]
        with keyed.global_generators_seeded('version', domain, kind, key, version):
            return dataset[index]

    def version(self, item: SampleIndex) -> int:
        """Return which version of an image is shown."""
        passes = item.number // len(self.sources[item.source].dataset)
        first = keyed.key(item.seed, 'version', item.source, item.index)
        return (first + passes) % self.versions[item.source]

    def _load(self, item: SampleIndex) -> dict[str, Any]:
        results = read_features(self.file(item.source, item.index, self.version(item)))
        path = self.sources[item.source].dataset.get_data_info(item.index)['img_path']
        results['data_samples'].set_metainfo(dict(img_path=path))
        return results


def _image_label_files(dataset: Dataset) -> list[str]:
    """Return digests of the files with image-level labels, which are kept beside features."""
    transforms = itertools.chain.from_iterable(pipelines(dataset))
    loaders = [t for t in transforms if isinstance(t, LoadImageLabels) and t.labels is not None]
    return [hashlib.sha256(fileio.get(t.labels.source)).hexdigest() for t in loaders]


def _check_single_images(source: Source) -> None:
    """Check that a sample shows one image, whose content can name it."""
    for wrapper in wrappers_of(source.dataset):
        if hasattr(wrapper, 'pipeline'):
            raise ValueError(
                f'{source.name}: a {type(wrapper).__name__} joins several images, expected one in '
                'each sample, because features are kept by image; train without a cache'
            )


def _number(versions: int | Mapping[str, int], kind: str) -> int:
    number = versions.get(kind) if isinstance(versions, Mapping) else versions
    if not isinstance(number, int) or number < 1:
        raise ValueError(
            f'CachedFeaturesDataset: versions is {versions!r}, expected a whole number above 0 '
            f'for {kind} images: versions=8, or versions=dict({kind}=8, ...)'
        )
    return number
