"""Look at the data before the first iteration: labels, images in two places, headers, sizes."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from mmcv.transforms import LoadImageFromFile
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS

from cct_mm.datasets import LoadCheckedAnnotations, LoadCheckedImage, label_check
from cct_mm.datasets.batch_check import check_batch
from cct_mm.datasets.file_cache import Problem
from cct_mm.datasets.file_sources import FileSource, file_sources
from cct_mm.datasets.headers import Header
from cct_mm.datasets.image_headers import read_headers
from cct_mm.datasets.label_counts import MaskValues, count_masks
from cct_mm.datasets.readers import check_image_header
from cct_mm.datasets.transforms import size_problem, unchecked_loaders

from .processes.first_rank import on_first_rank

Findings = tuple[list[str], list[str]]
"""Errors and warnings."""


@HOOKS.register_module()
class DataCheckHook(Hook):
    """Refuse data from which nothing can be learned or evaluated, and say what is odd about others.

    It is the quick form of ``tools/check_data.py``, before each training: masks are counted once
    for each file and image headers read once, so that a later start costs a look at the times of
    the files. Rank 0 does it; the other ranks wait. Masks of unlabeled sources are never opened.
    """

    def before_train(self, runner) -> None:
        """Check training and validation data.

        Raises:
            ValueError: With all that was found, if a run would end in nothing.
        """
        errors, warnings = on_first_rank(lambda beat: self._check(runner, beat))
        for warning in warnings:
            runner.logger.warning(warning)
        if errors:
            raise ValueError('\n'.join(errors))

    def before_test(self, runner) -> None:
        """Check that images can stand in one batch.

        Raises:
            ValueError: If they cannot.
        """

        def check(beat: Callable[[], None]) -> list[str]:
            sources, _ = file_sources(runner.test_dataloader.dataset, 'test_dataloader')
            return _check_batch(runner, 'test_dataloader', sources)

        if errors := on_first_rank(check):
            raise ValueError('\n'.join(errors))

    def _check(self, runner, beat: Callable[[], None]) -> Findings:
        loader = runner.train_dataloader
        training, untold = file_sources(loader.dataset, 'train_dataloader')
        validation = []
        if runner.val_loop is not None:
            validation, more = file_sources(runner.val_dataloader.dataset, 'val_dataloader')
            untold += more
        sources = [*training, *validation]
        errors, warnings = check_class_lists(training), untold
        masks = count_labels(sources, beat, runner.logger.info)
        headers = read_image_headers(sources, beat)
        for found in (
            check_labels(training, validation, masks),
            check_overlap(training, validation),
            check_loading(sources),
            check_label_maps(sources),
            check_headers(sources, headers),
            check_sizes(sources, headers, masks),
        ):
            errors += found[0]
            warnings += found[1]
        if runner.val_loop is not None and not errors:
            errors += _check_batch(runner, 'val_dataloader', validation)
        return errors, warnings


def _check_batch(runner, name: str, sources: Iterable[FileSource]) -> list[str]:
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    batch_size = getattr(runner, name).batch_size
    return check_batch(name, batch_size, sources, type(model.data_preprocessor))


def check_class_lists(training: Iterable[FileSource]) -> list[str]:
    """Say which domains have a single class."""
    domains = {s.domain: s.classes for s in training if s.mask_loader is not None}
    return [
        f'train_dataloader: domain {name}: {label_check.single_class(classes)}'
        for name, classes in domains.items()
        if len(classes) == 1
    ]


def count_labels(
    sources: Iterable[FileSource], beat: Callable[[], None], say: Callable[[str], None]
) -> dict[str, MaskValues | Problem]:
    """Count the labels of the sources whose labels can be told, by the path of the mask.

    Args:
        sources: Of training and validation.
        beat: Called after each mask.
        say: Told what is no warning.
    """
    paths = [
        info['seg_map_path']
        for source in sources
        if source.mask_loader is not None and source.is_local and not source.foreign_transforms
        for info in source.infos
        if info.get('seg_map_path')
    ]
    return count_masks(paths, beat=beat, say=say)


def check_labels(
    training: Iterable[FileSource],
    validation: Iterable[FileSource],
    masks: Mapping[str, MaskValues | Problem],
) -> Findings:
    """Say where labels mean nothing.

    Args:
        training: Sources of the training data.
        validation: Sources of the validation data.
        masks: What :func:`count_labels` has found.
    """
    groups: dict[tuple[str, str | None], list[FileSource]] = defaultdict(list)
    warnings, errors = [], []
    for sources, is_training in ((training, True), (validation, False)):
        for source in sources:
            if source.mask_loader is None:
                continue
            if not source.is_local:
                warnings.append(f'{source.name}: labels of another storage are not counted')
            elif source.foreign_transforms:
                warnings.append(
                    f'{source.name}: labels are not counted, for its pipeline has '
                    f'{", ".join(source.foreign_transforms)}, which may change them'
                )
            else:
                supervision = source.supervision if is_training else None
                groups[source.name, supervision].append(source)
    for (name, supervision), sources in groups.items():
        counts = label_check.count_labels(sources, masks)
        if len(counts.classes) == 1:
            continue
        errors += label_check.errors(counts, name, supervision)
        warnings += label_check.warnings(counts, name, supervision)
    return errors, warnings


def check_overlap(training: Iterable[FileSource], validation: Iterable[FileSource]) -> Findings:
    """Say which files are images of training and of validation, whatever their paths.

    Args:
        training: Sources of the training data.
        validation: Sources of the validation data.
    """
    evaluated = {file_identity(i['img_path']) for source in validation for i in source.infos}
    evaluated -= {None}
    warnings = []
    for source in training if evaluated else ():
        paths = [info['img_path'] for info in source.infos]
        both = [path for path in paths if file_identity(path) in evaluated]
        if both:
            warnings.append(
                f'{source.name}: {len(both)} of its {len(paths)} images are in val_dataloader, '
                'too, expected none in training and validation, for a score on images of training '
                f'says little of others; the first is {both[0]}'
            )
    return [], warnings


def check_loading(sources: Iterable[FileSource]) -> Findings:
    """Say which sources read files without the checks of this package.

    Args:
        sources: Of training and validation.
    """
    sentences = [
        f'{source.name}: {sentence}'
        for source in sources
        for sentence in unchecked_loaders([source.image_loader, source.mask_loader])
    ]
    return [], list(dict.fromkeys(sentences))


def check_label_maps(sources: Iterable[FileSource]) -> Findings:
    """Say which labeled sources load no labels at all.

    Args:
        sources: Of training and validation.
    """
    problems = {source.name: label_check.no_label_maps(source) for source in sources}
    return [f'{name}: {problem}' for name, problem in problems.items() if problem], []


def read_image_headers(
    sources: Iterable[FileSource], beat: Callable[[], None]
) -> dict[str, Header | Problem]:
    """Read the headers of the images of local sources.

    Args:
        sources: Of training and validation.
        beat: Called after each file.
    """
    paths = [
        info['img_path']
        for source in sources
        if source.is_local and source.image_loader is not None
        for info in source.infos
    ]
    return read_headers(paths, beat=beat, say=lambda sentence: None)


def check_headers(
    sources: Iterable[FileSource], headers: Mapping[str, Header | Problem]
) -> Findings:
    """Say which images their loading would refuse or take for others, as far as headers tell.

    Args:
        sources: Of training and validation.
        headers: What :func:`read_image_headers` has found.
    """
    errors, warnings = [], []
    for source in sources:
        found = [
            problem
            for info in source.infos
            if (problem := _problem_of(source.image_loader, headers.get(info['img_path'])))
        ]
        if found:
            more = f' ({len(found)} of its {len(source.infos)} images)' if found[1:] else ''
            checked = isinstance(source.image_loader, LoadCheckedImage)
            (errors if checked else warnings).append(f'{source.name}: {found[0]}{more}')
    return errors, warnings


def _problem_of(loader: Callable | None, header: Header | Problem | None) -> str | None:
    """What a loader refuses or, without checks, takes for something else."""
    checked = isinstance(loader, LoadCheckedImage)
    # Loaders of other packages may read what is no image to this one.
    if header is None or not (checked or type(loader) is LoadImageFromFile):
        return None
    if isinstance(header, Problem):
        return header
    try:
        if checked:
            loader.check_header(header)
        elif loader.color_type == 'color':
            check_image_header(header)
    except ValueError as error:
        return str(error)
    return None


def check_sizes(
    sources: Iterable[FileSource],
    headers: Mapping[str, Header | Problem],
    masks: Mapping[str, MaskValues | Problem],
) -> Findings:
    """Say which masks their loading would refuse for their size.

    Args:
        sources: Of training and validation.
        headers: What :func:`read_image_headers` has found.
        masks: What :func:`count_labels` has found.
    """
    errors = []
    for source in sources:
        loaders = source.image_loader, source.mask_loader
        if not all(map(isinstance, loaders, (LoadCheckedImage, LoadCheckedAnnotations))):
            continue
        wrong = []
        for info in source.infos:
            header, mask = headers.get(info['img_path']), masks.get(info.get('seg_map_path'))
            if _problem_of(source.image_loader, header):
                continue
            if isinstance(header, Header) and isinstance(mask, MaskValues):
                size, expected = (mask.width, mask.height), source.image_loader.size_of(header)
                if expected not in (None, size):
                    wrong.append(size_problem(info, size, expected, header.orientation))
        if wrong:
            more = f' ({len(wrong)} of its {len(source.infos)} masks)' if wrong[1:] else ''
            errors.append(f'{source.name}: {wrong[0]}{more}')
    return errors, []


def file_identity(path: str) -> tuple[int, int] | None:
    """Return what two paths of one file share; None where there is no such file."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
