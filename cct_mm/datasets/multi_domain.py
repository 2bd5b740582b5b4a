"""Several datasets as one: each domain has labeled, unlabeled and weakly labeled sources."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import mmengine.fileio as fileio
from mmcv.transforms import Pad
from mmengine.dataset import BaseDataset
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import DATASETS
from torch.utils.data import Dataset

from cct_mm import keyed

from .image_labels import LoadImageLabels

SUPERVISIONS = ('labeled', 'unlabeled', 'weak')
"""Kinds of supervision.

``labeled``: label maps. ``unlabeled``: nothing. ``weak``: image-level labels, for a classifier, or
the pseudo-labels made from them, for L_w.
"""


class Draw(NamedTuple):
    """One image to load, as the sampler asks for it.

    Args:
        source: Index of the source in ``MultiDomainDataset.sources``.
        index: Index of the image in the source.
        number: How many draws of this source came before, over all ranks: with ``seed`` and
            ``source`` the key of the image's augmentation.
        seed: The run's seed.
    """

    source: int
    index: int
    number: int
    seed: int


class Source(NamedTuple):
    """A dataset with the domain and the kind of supervision that it stands for."""

    domain: str
    supervision: str
    dataset: BaseDataset


@DATASETS.register_module()
class MultiDomainDataset(Dataset):
    """The images of all domains behind one dataloader.

    In training it is indexed by :class:`Draw`: the pipeline's random draws are keyed, so an image
    looks the same whichever worker or rank loads it. In validation it is indexed by a number. Each
    sample leaves with ``domain``, ``supervision`` and (in training) ``draw`` in its metainfo.

    Unlabeled sources need no masks: theirs are never opened, not even where the list names them.

    Args:
        domains: For each domain's name its sources, ``dict(labeled=dict(type=...),
            unlabeled=dict(type=...))``, each the config of an mmseg dataset, see
            :data:`SUPERVISIONS`.

    Raises:
        ValueError: For an empty source, an unknown kind of source, sources of one domain with
            differing classes, an unlabeled source whose pipeline loads annotations, a weak source
            with an image that has no pseudo-labels, or an image without image-level labels where
            they are read from a file.
    """

    def __init__(self, domains: Mapping[str, Mapping[str, dict]]) -> None:
        self.sources: list[Source] = []
        for domain, sources in domains.items():
            for supervision, config in sources.items():
                if supervision not in SUPERVISIONS:
                    raise ValueError(
                        f'MultiDomainDataset: domain {domain} has a source {supervision!r}, '
                        f'expected one of {", ".join(SUPERVISIONS)}'
                    )
                self.sources.append(Source(domain, supervision, DATASETS.build(config)))
        for source in self.sources:
            self._check(source)
        self.domains = list(domains)
        self._starts = [0]
        for source in self.sources:
            self._starts.append(self._starts[-1] + len(source.dataset))

    def _check(self, source: Source) -> None:
        name = f'{source.domain}, {source.supervision} source'
        if len(source.dataset) == 0:
            raise ValueError(
                f'{name}: no images, expected at least one; look at its data_root and ann_file: '
                f'{source.dataset.data_root!r}, {source.dataset.ann_file!r}'
            )
        transforms = source.dataset.pipeline.transforms
        if source.supervision != 'labeled':
            if any(isinstance(t, Pad) for t in transforms):
                raise ValueError(
                    f'{name}: its pipeline has Pad, after which nothing tells padding from image; '
                    'leave padding to the data_preprocessor (size or size_divisor), which keeps it '
                    'out of every loss'
                )
        if source.supervision == 'unlabeled':
            loaders = [type(t).__name__ for t in transforms if isinstance(t, LoadAnnotations)]
            if loaders:
                raise ValueError(
                    f'{name}: its pipeline has {", ".join(loaders)}, expected none: labels of '
                    'unlabeled images are never read; remove it from the pipeline'
                )
        if source.dataset.metainfo.get('classes') is None:
            raise ValueError(
                f'{name}: its dataset names no classes, expected those of the domain: add '
                'metainfo=dict(classes=(...), palette=[...])'
            )
        first = next(s for s in self.sources if s.domain == source.domain)
        classes = source.dataset.metainfo['classes']
        if tuple(classes) != tuple(first.dataset.metainfo['classes']):
            raise ValueError(
                f'{name}: its classes {classes} differ from those of the {first.supervision} '
                f'source, {first.dataset.metainfo["classes"]}; all sources of a domain share its '
                'label space'
            )
        self._check_labels(name, source)

    def _check_labels(self, name: str, source: Source) -> None:
        """Find labels that are missing now: mmseg's own datasets look only when one is loaded."""
        transforms = source.dataset.pipeline.transforms
        image_labels = [t for t in transforms if isinstance(t, LoadImageLabels)]
        for loader in image_labels:
            loader.check_classes(source.dataset.metainfo['classes'], name)
        weak = source.supervision == 'weak'
        masks = [t for t in transforms if weak and isinstance(t, LoadAnnotations)]
        files = [t for t in image_labels if t.labels is not None]
        if not masks and not files:
            return
        infos = [source.dataset.get_data_info(i) for i in range(len(source.dataset))]
        for loader in masks:
            missing = [
                info
                for info in infos
                if not info.get('seg_map_path')
                or not fileio.isfile(info['seg_map_path'], backend_args=loader.backend_args)
            ]
            if missing:
                raise ValueError(
                    f'{name}: {len(missing)} of {len(infos)} images have no label file, expected '
                    f'one for each; the first is {missing[0]["img_path"]} (seg_map_path: '
                    f'{missing[0].get("seg_map_path")}); make pseudo-labels with '
                    'tools/gen_pseudo_labels.py, or take images that it skipped off the list'
                )
        for loader in files:
            unnamed = [i['img_path'] for i in infos if i['img_path'] not in loader.labels]
            if unnamed:
                try:
                    loader.labels[unnamed[0]]
                except KeyError as error:
                    raise ValueError(
                        f'{name}: {error.args[0]} ({len(unnamed)} of {len(infos)} images have none)'
                    ) from None

    @property
    def metainfo(self) -> dict[str, Any]:
        """Every domain's classes and palette; the first's also where mmseg looks."""
        domains = {}
        for source in self.sources:
            meta = source.dataset.metainfo
            domains.setdefault(
                source.domain,
                dict(classes=tuple(meta['classes']), palette=[list(c) for c in meta['palette']]),
            )
        return dict(domains=domains, **next(iter(domains.values())))

    def source_index(self, domain: str, supervision: str) -> int:
        """Return the index in ``sources`` of a domain's source."""
        keys = [(source.domain, source.supervision) for source in self.sources]
        return keys.index((domain, supervision))

    def has_source(self, domain: str, supervision: str) -> bool:
        """Tell whether a domain has a source with this kind of supervision."""
        return any((s.domain, s.supervision) == (domain, supervision) for s in self.sources)

    def __len__(self) -> int:
        """Return the number of images over all sources."""
        return self._starts[-1]

    def __getitem__(self, item: Draw | int) -> dict[str, Any]:
        """Load, augment and tag one image."""
        if isinstance(item, Draw):
            source = self.sources[item.source]
            with keyed.global_generators_seeded(item.seed, 'augment', item.source, item.number):
                results = source.dataset[item.index]
            tags = dict(draw=f'{item.source}/{item.number}')
        else:
            number = max(i for i, start in enumerate(self._starts[:-1]) if start <= item)
            source, tags = self.sources[number], {}
            results = source.dataset[item - self._starts[number]]
        if source.supervision == 'unlabeled' and 'gt_sem_seg' in results['data_samples']:
            raise ValueError(
                f'{source.domain}, unlabeled source: its pipeline has loaded a label map for '
                f'{results["data_samples"].img_path}, expected none: labels of unlabeled images '
                'are never read; remove the loading of annotations from the pipeline'
            )
        tags |= dict(domain=source.domain, supervision=source.supervision)
        # After the pipeline: PackSegInputs keeps only the meta keys it knows.
        results['data_samples'].set_metainfo(tags)
        return results
