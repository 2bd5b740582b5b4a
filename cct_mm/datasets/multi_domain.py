"""Several datasets as one: each domain has labeled, unlabeled and weakly labeled sources."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from mmengine.dataset import Compose
from mmseg.registry import DATASETS
from torch.utils.data import Dataset

from cct_mm import keyed

from .sources import (
    augmented,
    build_source,
    check_domains,
    check_first_samples,
    check_names,
    check_same_classes,
    check_source,
)
from .wrappers import follow_filling


class SampleIndex(NamedTuple):
    """One image to load, as the sampler asks for it.

    Args:
        source: Index of the source in ``MultiDomainDataset.sources``.
        index: Index of the image in the source.
        number: How many images of this source were asked for before, over all ranks. With ``seed``
            and ``source`` it is the key of the image's augmentation.
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
    dataset: Dataset

    @property
    def name(self) -> str:
        """What errors call it."""
        return f'{self.domain}, {self.supervision} source'


@DATASETS.register_module()
class MultiDomainDataset(Dataset):
    """The images of all domains behind one dataloader.

    In training it is indexed by :class:`SampleIndex`: the random numbers of the pipeline are keyed,
    so that an image looks the same whichever worker or rank loads it. In validation it is indexed
    by a number. Each sample gets ``domain``, ``supervision`` and (in training) ``sample_key`` in
    its metainfo.

    Unlabeled sources need no masks: they are never opened, not even where the list names them.

    Args:
        domains: For each domain's name its sources, ``dict(labeled=dict(type=...),
            unlabeled=dict(type=...))``, see :data:`~cct_mm.labels.SUPERVISIONS`. Each is the config
            of an mmseg dataset or of a wrapper, such as ``ConcatDataset``, around some.
        augmentation: Transforms that every image of every source goes through before it is packed,
            as configs under names of your choice: ``dict(flip=dict(type='RandomFlip', prob=0.5))``.
            So labeled and unlabeled images share them, and a config that builds on another changes
            one of them by its name. See ``configs/_base_/augmentations``.
        pipeline: Transforms that each sample goes through after the pipeline of its source, such as
            ``tta_pipeline``, which mmseg's ``test.py --tta`` puts here. A pipeline that begins with
            ``LoadImageFromFile`` is none for samples: mmseg's inferencer looks here for it.

    Raises:
        ValueError: If the name of a domain is impossible, a kind of source is unknown, the sources
            of a domain have differing classes, or :mod:`cct_mm.datasets.sources` finds anything
            else that is wrong.
        FileNotFoundError: If files are missing.
    """

    def __init__(
        self,
        domains: Mapping[str, Mapping[str, dict]],
        augmentation: Mapping[str, dict] | None = None,
        pipeline: Sequence[dict] = (),
    ) -> None:
        self.domains = list(check_domains(domains))
        self.sources: list[Source] = []
        for domain, configs in domains.items():
            check_names(domain, configs)
            for kind, config in configs.items():
                name = f'{domain}, {kind} source'
                if augmentation:
                    config = augmented(name, config, list(augmentation.values()))
                self.sources.append(Source(domain, kind, build_source(name, config)))
        for source in self.sources:
            self._prepare(source)
        self._ends = list(accumulate(len(source.dataset) for source in self.sources))
        of_files = bool(pipeline) and pipeline[0]['type'] == 'LoadImageFromFile'
        self.pipeline = Compose([] if of_files else pipeline)

    def _prepare(self, source: Source) -> None:
        """Check a source and let its pipelines follow what is filling."""
        first = next(s for s in self.sources if s.domain == source.domain)
        check_source(source.name, source.supervision, source.dataset)
        check_same_classes(source.name, source.dataset, first.supervision, first.dataset)
        follow_filling(source.dataset)
        check_first_samples(source.name, source.dataset)

    @property
    def metainfo(self) -> dict[str, Any]:
        """Classes and palette of every domain; those of the first also where mmseg looks."""
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
        return self._ends[-1]

    def __getitem__(self, item: SampleIndex | int) -> dict[str, Any]:
        """Load, augment and tag one image."""
        if isinstance(item, SampleIndex):
            source = self.sources[item.source]
            results = self._load(item)
            tags = dict(sample_key=f'{item.source}/{item.number}')
        else:
            number = bisect_right(self._ends[:-1], item)
            source, tags = self.sources[number], {}
            results = source.dataset[item - self._ends[number] + len(source.dataset)]
        _check_unlabeled(source, results['data_samples'])
        tags |= dict(domain=source.domain, supervision=source.supervision)
        results = self.pipeline(results)
        # Test-time augmentation makes several samples of one.
        samples = results['data_samples']
        for sample in samples if isinstance(samples, list) else [samples]:
            # After the pipelines: PackSegInputs keeps only the meta keys it knows.
            sample.set_metainfo(tags)
        return results

    def _load(self, item: SampleIndex) -> dict[str, Any]:
        """Load and augment an image of training."""
        with keyed.global_generators_seeded(item.seed, 'augment', item.source, item.number):
            return self.sources[item.source].dataset[item.index]


def _check_unlabeled(source: Source, sample: Any) -> None:
    if source.supervision == 'unlabeled' and 'gt_sem_seg' in sample:
        raise ValueError(
            f'{source.name}: its pipeline has loaded a label map for {sample.img_path}, expected '
            'none: labels of unlabeled images are never read; remove the loading of annotations '
            'from the pipeline'
        )
