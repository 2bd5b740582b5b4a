"""Several datasets as one: each domain has labeled, unlabeled and weakly labeled sources."""

import traceback
from collections.abc import Mapping
from typing import Any, NamedTuple

from mmcv.transforms import BaseTransform
from mmseg.registry import DATASETS
from torch.utils.data import Dataset

from cct_mm import keyed
from cct_mm.labels import SUPERVISIONS
from cct_mm.names import check_domain_name

from .filling import FillingError, name_of
from .source_check import build_source, check_sample, check_source
from .wrappers import follow_filling, leaf_datasets


class SampleIndex(NamedTuple):
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
    dataset: Dataset

    @property
    def name(self) -> str:
        """What errors call it."""
        return f'{self.domain}, {self.supervision} source'


@DATASETS.register_module()
class MultiDomainDataset(Dataset):
    """The images of all domains behind one dataloader.

    In training it is indexed by :class:`SampleIndex`: the random numbers of the pipeline are keyed,
    so an image looks the same whichever worker or rank loads it. In validation it is indexed by a
    number. Each sample leaves with ``domain``, ``supervision`` and (in training) ``sample_key`` in
    its metainfo.

    Unlabeled sources need no masks: theirs are never opened, not even where the list names them.

    Args:
        domains: For each domain's name its sources, ``dict(labeled=dict(type=...),
            unlabeled=dict(type=...))``, each the config of an mmseg dataset, see
            :data:`~cct_mm.labels.SUPERVISIONS`, or of a wrapper such as ``ConcatDataset`` around
            some.

    Raises:
        ValueError: For a domain's name that cannot be, an unknown kind of source, sources of one
            domain with differing classes, and for all that
            :func:`~cct_mm.datasets.source_check.check_source` finds.
        FileNotFoundError: For files that are missing.
    """

    def __init__(self, domains: Mapping[str, Mapping[str, dict]]) -> None:
        self.sources: list[Source] = []
        for domain, sources in check_domains(domains).items():
            check_domain_name(domain)
            for supervision, config in sources.items():
                if supervision not in SUPERVISIONS:
                    raise ValueError(
                        f'MultiDomainDataset: domain {domain} has a source {supervision!r}, '
                        f'expected one of {", ".join(SUPERVISIONS)}'
                    )
                name = f'{domain}, {supervision} source'
                self.sources.append(Source(domain, supervision, build_source(name, config)))
        for source in self.sources:
            self._check(source)
            follow_filling(source.dataset)
            self._probe(source)
        self.domains = list(domains)
        self._starts = [0]
        for source in self.sources:
            self._starts.append(self._starts[-1] + len(source.dataset))

    def _check(self, source: Source) -> None:
        check_source(source.name, source.supervision, source.dataset)
        first = next(s for s in self.sources if s.domain == source.domain)
        classes = source.dataset.metainfo['classes']
        if tuple(classes) != tuple(first.dataset.metainfo['classes']):
            raise ValueError(
                f'{source.name}: its classes {classes} differ from those of the '
                f'{first.supervision} source, {first.dataset.metainfo["classes"]}; all sources of '
                'a domain share its label space'
            )

    def _probe(self, source: Source) -> None:
        """Load one image of each data set, so that a pipeline that cannot work says so now."""
        parts = {id(part): part for part in (*leaf_datasets(source.dataset), source.dataset)}
        samples = []
        for part in parts.values():
            with keyed.global_generators_seeded(0, 'probe'):
                try:
                    sample = part[0]
                except FillingError as error:
                    raise ValueError(f'{source.name}: {error}') from error
                # Those of files and labels say what they are about.
                except (OSError, ValueError, MemoryError, ImportError):
                    raise
                # Transforms assert and look up what they need, often without a word.
                except Exception as error:
                    raise ValueError(f'{source.name}: {_failure(error)}') from error
            if 'data_samples' in sample:
                samples.append(sample['data_samples'])
        # The last is that of the whole source: a wrapper may pack what its parts do not.
        check_sample(source.name, sample)
        without = [sample for sample in samples if 'gt_sem_seg' not in sample]
        if without and len(without) < len(samples):
            raise ValueError(
                f'{source.name}: some of its data sets load label maps, and others none, such as '
                f'that of {without[0].img_path}, expected the same of all: let each load them, or '
                'none'
            )

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

    def __getitem__(self, item: SampleIndex | int) -> dict[str, Any]:
        """Load, augment and tag one image."""
        if isinstance(item, SampleIndex):
            source = self.sources[item.source]
            with keyed.global_generators_seeded(item.seed, 'augment', item.source, item.number):
                results = source.dataset[item.index]
            tags = dict(sample_key=f'{item.source}/{item.number}')
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


def check_domains(domains: Any) -> Mapping[str, Mapping[str, dict]]:
    """Return the sources of each domain as they are given, or refuse what is none.

    Raises:
        ValueError: If there is no domain, or a domain without sources.
    """
    wanted = "dict(NAME=dict(labeled=dict(type='...')))"
    if not isinstance(domains, Mapping) or not domains:
        raise ValueError(f'MultiDomainDataset: domains={domains!r}, expected {wanted}')
    for name, sources in domains.items():
        if not isinstance(sources, Mapping) or not sources:
            raise ValueError(
                f'MultiDomainDataset: domain {name} has the sources {sources!r}, expected {wanted}'
            )
    return domains


def _failure(error: Exception) -> str:
    """Say which transform of a pipeline has failed, and why."""
    frames = traceback.walk_tb(error.__traceback__)
    owners = [frame.f_locals.get('self') for frame, _ in frames]
    failed = [owner for owner in owners if isinstance(owner, BaseTransform)]
    name = name_of(failed[-1]) if failed else 'its pipeline'
    text = f'{name} fails on its first image: {type(error).__name__}: {error or "no reason given"}'
    if failed and hasattr(failed[-1], 'get_indices'):
        return (
            f'{text}; it joins several images, expected as a transform of a wrapper: '
            "dict(type='MultiImageMixDataset', dataset=..., pipeline=[...])"
        )
    if isinstance(error, KeyError) and error.args[:1] == ('img',):
        return f"{text}; load the image before it: dict(type='LoadCheckedImage')"
    return f'{text}; look at the transforms of the pipeline, their order and arguments'
