"""All that is found in the data of a config: problems, notes, and what the sources hold."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmengine.config import Config
from mmseg.models import SegDataPreProcessor
from mmseg.registry import DATASETS, MODELS

from ..list_dataset import ListDataset
from ..multi_domain import MultiDomainDataset, Source
from ..sources import build_source, check_domains, check_source
from .batch import check_batch
from .file_cache import Problem
from .file_facts import MaskValues
from .findings import Finding, Findings
from .images import check_loading
from .label_counts import LabelCounts, count_labels
from .labels import check_class_lists, check_label_maps, check_labels
from .samples import examine_source
from .sources import FileSource, list_files, source_name

SPLITS = ('train', 'val', 'test')


@dataclass
class SourceReport:
    """What a source, or a part of a wrapped one, holds."""

    source: FileSource
    # Number of images of each width and height, of each format with channels and depth, and of
    # each EXIF orientation.
    sizes: Counter = field(default_factory=Counter)
    types: Counter = field(default_factory=Counter)
    orientations: Counter = field(default_factory=Counter)
    labels: LabelCounts | None = None  # None where none are read
    problems: int = 0  # number of its samples that cannot be loaded
    masks: dict[str, MaskValues] = field(default_factory=dict)
    # A hash of the pixels of each image that has more than one color, by path.
    digests: dict[str, str] = field(default_factory=dict)

    @property
    def images(self) -> int:
        """Number of its samples."""
        return len(self.source.infos)

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        found = {
            'split': self.source.split,
            'domain': self.source.domain,
            'supervision': self.source.supervision,
            'dataset': type(self.source.dataset).__name__,
            'images': self.images,
            'unreadable': self.problems,
            'sizes': [
                {'width': width, 'height': height, 'images': images}
                for (width, height), images in self.sizes.most_common()
            ],
            'types': dict(self.types.most_common()),
            'orientations': {str(k): n for k, n in sorted(self.orientations.items())},
        }
        if (labels := self.labels) is not None:
            found['labels'] = {
                'masks': labels.masks,
                'pixels': dict(zip(labels.classes, labels.pixels.tolist(), strict=True)),
                'images': dict(zip(labels.classes, labels.images.tolist(), strict=True)),
                'ignored_pixels': labels.ignored,
                'values': {str(value): n for value, n in sorted(labels.values.items())},
                'empty_masks': labels.empty,
                'absent': labels.absent,
            }
        return found


@dataclass
class DataReport(Findings):
    """All that is found, and what each source holds."""

    sources: list[SourceReport] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON can hold it."""
        return {
            'ok': not self.problems,
            'problems': [vars(finding) for finding in self.problems],
            'notes': [vars(finding) for finding in self.notes],
            'sources': [report.to_dict() for report in self.sources],
        }


def report_data(cfg: Config, workers: int) -> DataReport:
    """Check every file of every source of a config.

    Args:
        cfg: The config.
        workers: Number of processes.

    Raises:
        ValueError: If there is no dataloader, or one without a dataset that has domains.
        RuntimeError: If a process dies.
    """
    loaders = {s: loader for s in SPLITS if (loader := cfg.get(f'{s}_dataloader'))}
    if not loaders:
        raise ValueError('the config has no train_dataloader, val_dataloader or test_dataloader')
    report = DataReport()
    for split, loader in loaders.items():
        _build_sources(report, split, _domains(split, loader))
    sources = [found.source for found in report.sources]
    report.add(check_class_lists(sources))
    report.add(check_label_maps(sources))
    report.add(check_loading(sources))
    for found in report.sources:
        report.add(_examine(found, workers))
    report.add(_check_all_labels(report.sources))
    report.add(_find_copies(report.sources))
    for split, loader in loaders.items():
        report.add(_check_loader(report, split, loader, _preprocessor(cfg)))
    return report


def _domains(split: str, loader: Mapping) -> Mapping[str, Mapping[str, dict]]:
    dataset = loader.get('dataset') or {}
    kind = dataset.get('type')
    kind = DATASETS.get(kind) if isinstance(kind, str) else kind
    if not (isinstance(kind, type) and issubclass(kind, MultiDomainDataset)):
        raise ValueError(
            f'{split}_dataloader: its dataset is a {dataset.get("type")}, expected a '
            'MultiDomainDataset, which knows the domains: '
            "dataset=dict(type='MultiDomainDataset', domains=dict(NAME=dict(labeled=...)))"
        )
    return check_domains(dataset.get('domains'))


def _build_sources(
    report: DataReport, split: str, domains: Mapping[str, Mapping[str, dict]]
) -> None:
    """Build the sources one by one, so that one that cannot be built hides no other."""
    for domain, sources in domains.items():
        for supervision, config in sources.items():
            where = source_name(split, domain, supervision)
            try:
                dataset = build_source(f'{domain}, {supervision} source', _without_checks(config))
            # A dataset may be the user's own code.
            except Exception as error:
                report.problems.append(Finding(where, 'source', f'{type(error).__name__}: {error}'))
                continue
            files, untold = list_files(Source(domain, supervision, dataset), split)
            report.notes += untold
            report.sources += map(SourceReport, files)
            try:
                check_source(f'{domain}, {supervision} source', supervision, dataset)
            except FileNotFoundError:
                # Each missing file is named when it is examined.
                pass
            except ValueError as error:
                report.problems.append(Finding(where, 'source', str(error)))


def _without_checks(config: Mapping[str, Any]) -> dict[str, Any]:
    """Let datasets of lists keep files that are missing, each of which is then named."""
    config = dict(config)
    kind = config.get('type')
    kind = DATASETS.get(kind) if isinstance(kind, str) else kind
    if isinstance(kind, type) and issubclass(kind, ListDataset):
        config['check_files'] = False
    if isinstance(config.get('dataset'), Mapping):
        config['dataset'] = _without_checks(config['dataset'])
    if isinstance(config.get('datasets'), (list, tuple)):
        config['datasets'] = [
            _without_checks(part) if isinstance(part, Mapping) else part
            for part in config['datasets']
        ]
    return config


def _examine(report: SourceReport, workers: int) -> Findings:
    """Load every sample of a source, and fill its report."""
    found, source = Findings(), report.source
    if source.image_loader is None:
        message = 'its pipeline has no LoadImageFromFile: its files are not checked'
        return Findings(notes=[Finding(source.name, 'source', message)])
    constant = []
    samples = examine_source(source, workers)
    for info, sample in zip(source.infos, samples, strict=True):
        path = info['img_path']
        if isinstance(sample, Problem):
            report.problems += 1
            for line in sample.splitlines():
                kind, _, message = line.partition('\t')
                file = path if kind == 'image' else info.get('seg_map_path')
                found.problems.append(Finding(source.name, kind, message, file))
            continue
        report.sizes[tuple(sample['size'])] += 1
        report.types[sample['type']] += 1
        report.orientations[sample['orientation']] += 1
        if sample['constant']:
            # Black images are not copies of one another.
            constant.append(path)
        else:
            report.digests[path] = sample['digest']
        if 'mask' in sample:
            report.masks[info['seg_map_path']] = MaskValues.unpack(sample['mask'])
    if constant:
        message = (
            f'{len(constant)} of {report.images} images have a single color; the first is '
            f'{constant[0]}'
        )
        found.notes.append(Finding(source.name, 'constant image', message, constant[0]))
    if report.masks:
        report.labels = count_labels([source], report.masks)
    return found


def _check_all_labels(reports: Sequence[SourceReport]) -> Findings:
    found = Findings()
    groups: dict[str, list[SourceReport]] = defaultdict(list)
    for report in reports:
        if report.labels is not None:
            groups[report.source.name].append(report)
    for name, group in groups.items():
        masks = {path: values for report in group for path, values in report.masks.items()}
        found.add(check_labels([report.source for report in group], masks))
        for report in group:
            if not report.source.foreign_transforms:
                found.notes += [
                    Finding(name, 'empty mask', f'{path} has no labeled pixel (all 255)', path)
                    for path in report.labels.empty
                ]
    return found


def _find_copies(reports: Sequence[SourceReport]) -> Findings:
    """Find images with the same pixels: in training and in evaluation, or twice in a split."""
    found = Findings()
    places: dict[str, list[tuple[SourceReport, str]]] = defaultdict(list)
    for report in reports:
        for path, digest in report.digests.items():
            places[digest].append((report, path))
    for copies in places.values():
        by_split = {split: [c for c in copies if c[0].source.split == split] for split in SPLITS}
        for split in ('val', 'test'):
            if by_split['train'] and by_split[split]:
                (learned, path), (evaluated, other) = by_split['train'][0], by_split[split][0]
                what = '' if _same_file(path, other) else f'has the pixels of {path}, which '
                message = (
                    f'{other} {what}is in {learned.source.name}, expected in one of both: a score '
                    'on images of training says little of others; take it off one list'
                )
                found.problems.append(
                    Finding(evaluated.source.name, 'in training, too', message, other)
                )
        for same in by_split.values():
            found.notes += _twice(*same[:2]) if len(same) > 1 else ()
    return found


def _twice(one: tuple[SourceReport, str], two: tuple[SourceReport, str]) -> Iterator[Finding]:
    """Yield the finding that an image of a split is there twice, unless a source repeats it."""
    (report, path), (other, copy) = one, two
    same_source, same_file = report.source.name == other.source.name, _same_file(path, copy)
    if not (same_source and same_file):
        where = 'it' if same_source else other.source.name
        what = 'is' if same_file else f'has the pixels of {copy}, which is'
        yield Finding(report.source.name, 'twice', f'{path} {what} in {where}, too', path)


def _same_file(path: str, other: str) -> bool:
    try:
        return os.path.samefile(path, other)
    # The file is in another storage, or was removed meanwhile.
    except OSError:
        return path == other


def _preprocessor(cfg: Config) -> type:
    kind = (cfg.get('model', {}).get('data_preprocessor') or {}).get('type')
    return (MODELS.get(kind) if isinstance(kind, str) else kind) or SegDataPreProcessor


def _check_loader(report: DataReport, split: str, loader: Mapping, preprocessor: type) -> Findings:
    """Check a dataloader as a whole, if no source of it has a problem."""
    name = f'{split}_dataloader'
    if any(finding.where.startswith(name) for finding in report.problems):
        return Findings()
    try:
        dataset = loader['dataset']
        MultiDomainDataset(dataset['domains'], augmentation=dataset.get('augmentation'))
    except (ValueError, OSError) as error:
        return Findings([Finding(name, 'source', str(error))])
    if split == 'train':
        return Findings()
    sources = [found.source for found in report.sources if found.source.split == split]
    return check_batch(split, loader.get('batch_size'), sources, preprocessor)
