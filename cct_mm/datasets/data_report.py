"""All that is found in the data of a config: problems, notes, and what the sources hold."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmengine.config import Config
from mmseg.models import SegDataPreProcessor
from mmseg.registry import DATASETS, MODELS

from . import label_check
from .batch_check import check_batch
from .examine import examine_source
from .file_cache import Problem
from .file_sources import FileSource, list_files
from .label_check import LabelCounts
from .label_counts import MaskValues, unpack
from .list_dataset import ListDataset
from .multi_domain import MultiDomainDataset, Source
from .sources import build_source, check_domains, check_source
from .transforms import unchecked_loaders

SPLITS = ('train', 'val', 'test')


@dataclass
class Finding:
    """Something that was found.

    Args:
        where: Dataloader, domain and source.
        kind: What it is about, in a word or two.
        message: A sentence with the fix.
        file: The file that it is about, if it is one.
    """

    where: str
    kind: str
    message: str
    file: str | None = None


@dataclass
class SourceReport:
    """What a source, or a part of a wrapped one, holds.

    Args:
        source: Its files.
        split: ``'train'``, ``'val'`` or ``'test'``.
        images: Number of samples.
        sizes: Number of images of each width and height.
        types: Number of images of each format, number of channels and depth.
        orientations: Number of images of each EXIF orientation.
        labels: Its labels; None where none are read.
        problems: Number of its samples that cannot be loaded.
        masks: What is in each mask.
        digests: Of the pixels of each image that has more than one color, by path.
    """

    source: FileSource
    split: str
    images: int = 0
    sizes: Counter = field(default_factory=Counter)
    types: Counter = field(default_factory=Counter)
    orientations: Counter = field(default_factory=Counter)
    labels: LabelCounts | None = None
    problems: int = 0
    masks: dict[str, MaskValues] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)


@dataclass
class DataReport:
    """All that is found.

    Args:
        sources: What each source holds.
        problems: What training would refuse, or would make its results worth nothing.
        notes: What is odd.
    """

    sources: list[SourceReport] = field(default_factory=list)
    problems: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON can hold it."""
        return {
            'ok': not self.problems,
            'problems': [vars(finding) for finding in self.problems],
            'notes': [vars(finding) for finding in self.notes],
            'sources': [_source_dict(report) for report in self.sources],
        }


def report_data(cfg: Config, workers: int) -> DataReport:
    """Look at every file of every source of a config.

    Args:
        cfg: The config.
        workers: Number of processes.

    Raises:
        ValueError: If a dataloader has no dataset with domains, or there is no dataloader.
        RuntimeError: If a process dies.
    """
    report = DataReport()
    loaders = {split: cfg.get(f'{split}_dataloader') for split in SPLITS}
    if not any(loaders.values()):
        raise ValueError('the config has no train_dataloader, val_dataloader or test_dataloader')
    for split, loader in loaders.items():
        if loader:
            _look_at_loader(report, split, _domains(split, loader))
    for source_report in report.sources:
        _look_at_source(report, source_report, workers)
    _look_at_labels(report)
    _look_for_copies(report)
    preprocessor = (cfg.get('model', {}).get('data_preprocessor') or {}).get('type')
    if isinstance(preprocessor, str):
        preprocessor = MODELS.get(preprocessor)
    preprocessor = preprocessor or SegDataPreProcessor
    for split, loader in loaders.items():
        name = f'{split}_dataloader'
        if not loader or any(finding.where.startswith(name) for finding in report.problems):
            continue
        try:
            MultiDomainDataset(loader['dataset']['domains'])
        except (ValueError, OSError) as error:
            report.problems.append(Finding(name, 'source', str(error)))
            continue
        if split != 'train':
            sources = [found.source for found in report.sources if found.split == split]
            for sentence in check_batch(name, loader.get('batch_size'), sources, preprocessor):
                message = sentence.removeprefix(f'{name}: ')
                report.problems.append(Finding(name, 'batch', message))
    return report


def _domains(split: str, loader: Mapping) -> Mapping[str, Mapping[str, dict]]:
    dataset = loader.get('dataset') or {}
    if dataset.get('type') not in ('MultiDomainDataset', MultiDomainDataset):
        raise ValueError(
            f'{split}_dataloader: its dataset is a {dataset.get("type")}, expected a '
            'MultiDomainDataset, which knows the domains: '
            "dataset=dict(type='MultiDomainDataset', domains=dict(NAME=dict(labeled=...)))"
        )
    return check_domains(dataset.get('domains'))


def _look_at_loader(
    report: DataReport, split: str, domains: Mapping[str, Mapping[str, dict]]
) -> None:
    """Build the sources one by one, so that one that cannot be built hides no other."""
    for domain, sources in domains.items():
        for supervision, config in sources.items():
            where = f'{split}_dataloader: {domain}, {supervision} source'
            try:
                dataset = build_source(f'{domain}, {supervision} source', _without_checks(config))
            # A dataset is code of the user's, too.
            except Exception as error:
                report.problems.append(Finding(where, 'source', f'{type(error).__name__}: {error}'))
                continue
            files, untold = list_files(where, Source(domain, supervision, dataset))
            report.notes += [Finding(where, 'source', sentence) for sentence in untold]
            report.sources += [SourceReport(source, split) for source in files]
            try:
                check_source(f'{domain}, {supervision} source', supervision, dataset)
            except FileNotFoundError:
                # Each missing file is named when it is looked at.
                pass
            except ValueError as error:
                report.problems.append(Finding(where, 'source', str(error)))


def _without_checks(config: Mapping[str, Any]) -> dict[str, Any]:
    """Let data sets of lists keep files that are missing, each of which is then named."""
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


def _look_at_source(report: DataReport, found: SourceReport, workers: int) -> None:
    source = found.source
    found.images = len(source.infos)
    # A test set may have none.
    if found.split != 'test' and (problem := label_check.no_label_maps(source)):
        report.problems.append(Finding(source.name, 'labels', problem))
    for sentence in unchecked_loaders([source.image_loader, source.mask_loader]):
        report.notes.append(Finding(source.name, 'loading', sentence))
    if source.image_loader is None:
        report.notes.append(
            Finding(source.name, 'source', 'its pipeline has no LoadImageFromFile: not looked at')
        )
        return
    samples = examine_source(source, workers)
    constant = []
    for info, sample in zip(source.infos, samples, strict=True):
        path = info['img_path']
        if isinstance(sample, Problem):
            found.problems += 1
            for line in sample.splitlines():
                kind, _, message = line.partition('\t')
                file = path if kind == 'image' else info.get('seg_map_path')
                report.problems.append(Finding(source.name, kind, message, file))
            continue
        found.sizes[tuple(sample['size'])] += 1
        found.types[sample['type']] += 1
        found.orientations[sample['orientation']] += 1
        if sample['constant']:
            # Black images are no copies of one another.
            constant.append(path)
        else:
            found.digests[path] = sample['digest']
        if 'mask' in sample:
            found.masks[info['seg_map_path']] = unpack(sample['mask'])
    if constant:
        report.notes.append(
            Finding(
                source.name,
                'constant image',
                f'{len(constant)} of {found.images} images have one color alone; the first is '
                f'{constant[0]}',
                constant[0],
            )
        )
    if found.masks:
        found.labels = label_check.count_labels([source], found.masks)


def _look_at_labels(report: DataReport) -> None:
    groups: dict[str, list[SourceReport]] = defaultdict(list)
    for found in report.sources:
        if found.labels is not None:
            groups[found.source.name].append(found)
    for name, group in groups.items():
        training = group[0].split == 'train'
        supervision = group[0].source.supervision if training else None
        masks = {path: values for found in group for path, values in found.masks.items()}
        labels = label_check.count_labels([found.source for found in group], masks)
        if training and len(labels.classes) == 1:
            message = label_check.single_class(labels.classes)
            report.problems.append(Finding(name, 'labels', message))
            continue
        foreign = [name for found in group for name in found.source.foreign_transforms]
        if foreign:
            message = f'labels are not judged: {", ".join(foreign)} may change them'
            report.notes.append(Finding(name, 'labels', message))
            continue
        for sentence in label_check.errors(labels, name, supervision):
            report.problems.append(Finding(name, 'labels', sentence.removeprefix(f'{name}: ')))
        for sentence in label_check.warnings(labels, name, supervision):
            report.notes.append(Finding(name, 'labels', sentence.removeprefix(f'{name}: ')))
        for path in labels.empty:
            report.notes.append(
                Finding(name, 'empty mask', f'{path} has no labeled pixel (all 255)', path)
            )


def _look_for_copies(report: DataReport) -> None:
    """Find images with the same pixels: in training and in evaluation, or twice in a source."""
    places: dict[str, list[tuple[SourceReport, str]]] = defaultdict(list)
    for found in report.sources:
        for path, digest in found.digests.items():
            places[digest].append((found, path))
    for copies in places.values():
        training = [copy for copy in copies if copy[0].split == 'train']
        for split in ('val', 'test'):
            evaluated = [copy for copy in copies if copy[0].split == split]
            if training and evaluated:
                (learned, path), (found, other) = training[0], evaluated[0]
                same = _same_file(path, other)
                as_what = 'is in' if same else f'has the pixels of {path}, which is in'
                report.problems.append(
                    Finding(
                        found.source.name,
                        'in training, too',
                        f'{other} {as_what} {learned.source.name}, expected in one of both: a '
                        'score on images of training says little of others; take it off one list',
                        other,
                    )
                )
        for finding in _within(copies):
            report.notes.append(finding)


def _within(copies: Sequence[tuple[SourceReport, str]]) -> Iterator[Finding]:
    """Copies in one source, or in two of one split."""
    for split in SPLITS:
        same = [copy for copy in copies if copy[0].split == split]
        if len(same) > 1:
            (found, path), (other, copy) = same[:2]
            where = 'it' if found.source.name == other.source.name else other.source.name
            what = 'stands' if _same_file(path, copy) else f'has the pixels of {copy}, which stands'
            if where == 'it' and _same_file(path, copy):
                continue
            yield Finding(found.source.name, 'twice', f'{path} {what} in {where}, too', path)


def _same_file(path: str, other: str) -> bool:
    try:
        return os.path.samefile(path, other)
    # Of another storage, or gone meanwhile.
    except OSError:
        return path == other


def _source_dict(report: SourceReport) -> dict[str, Any]:
    source, labels = report.source, report.labels
    found = {
        'split': report.split,
        'domain': source.domain,
        'supervision': source.supervision,
        'dataset': type(source.dataset).__name__,
        'images': report.images,
        'unreadable': report.problems,
        'sizes': [
            {'width': width, 'height': height, 'images': images}
            for (width, height), images in report.sizes.most_common()
        ],
        'types': dict(report.types.most_common()),
        'orientations': {str(k): n for k, n in sorted(report.orientations.items())},
    }
    if labels is not None:
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
