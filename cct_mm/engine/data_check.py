"""Look at the data before the first iteration: labels, images in two places, headers, sizes."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable

from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from cct_mm.datasets import LoadCheckedImage, label_check
from cct_mm.datasets.batch_check import check_batch
from cct_mm.datasets.file_cache import Problem
from cct_mm.datasets.file_sources import FileSource, file_sources
from cct_mm.datasets.headers import Header
from cct_mm.datasets.image_headers import read_headers
from cct_mm.datasets.label_counts import count_masks
from cct_mm.datasets.readers import check_image_header

from .first_rank import on_first_rank

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

    def _check(self, runner, beat: Callable[[], None]) -> Findings:
        loader = runner.train_dataloader
        training, untold = file_sources(loader.dataset, 'train_dataloader')
        validation = []
        if runner.val_loop is not None:
            validation, more = file_sources(runner.val_dataloader.dataset, 'val_dataloader')
            untold += more
        errors, warnings = check_class_lists(training), untold
        for found in (
            check_labels(training, validation, beat, runner.logger.info),
            check_overlap(training, validation),
            check_headers([*training, *validation], beat),
        ):
            errors += found[0]
            warnings += found[1]
        if runner.val_loop is not None and not errors:
            errors += check_batch('val_dataloader', runner.val_dataloader.batch_size, validation)
        return errors, warnings


def check_class_lists(training: Iterable[FileSource]) -> list[str]:
    """Say which domains have a single class."""
    domains = {s.domain: s.classes for s in training if s.mask_loader is not None}
    return [
        f'train_dataloader: domain {name}: {label_check.single_class(classes)}'
        for name, classes in domains.items()
        if len(classes) == 1
    ]


def check_labels(
    training: Iterable[FileSource],
    validation: Iterable[FileSource],
    beat: Callable[[], None],
    say: Callable[[str], None],
) -> Findings:
    """Count labels, and say where they mean nothing.

    Args:
        training: Sources of the training data.
        validation: Sources of the validation data.
        beat: Called after each mask.
        say: Told what is no warning.
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
    paths = [
        info['seg_map_path']
        for sources in groups.values()
        for source in sources
        for info in source.infos
        if info.get('seg_map_path')
    ]
    masks = count_masks(paths, beat=beat, say=say)
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
                f'{source.name}: {len(both)} of its {len(paths)} images are in validation '
                '(val_dataloader), too, expected none, for a score on images of training says '
                'little of others; the '
                f'first is {both[0]}'
            )
    return [], warnings


def check_headers(sources: Iterable[FileSource], beat: Callable[[], None]) -> Findings:
    """Say which images their loading would refuse, as far as headers tell.

    Args:
        sources: Of training and validation.
        beat: Called after each file.
    """
    sources = [source for source in sources if source.is_local and source.image_loader is not None]
    paths = [info['img_path'] for source in sources for info in source.infos]
    headers = read_headers(paths, beat=beat, say=lambda sentence: None)
    errors = []
    for source in sources:
        refused = []
        for info in source.infos:
            header = headers[info['img_path']]
            problem = header if isinstance(header, Problem) else refusal(source, header)
            if problem:
                refused.append(problem)
        if refused:
            more = f' ({len(refused)} of its {len(source.infos)} images)' if refused[1:] else ''
            errors.append(f'{source.name}: {refused[0]}{more}')
    return errors, []


def refusal(source: FileSource, header: Header) -> str | None:
    """Return why a source's loading refuses an image by its header, or None.

    Args:
        source: The source.
        header: Of one of its images.
    """
    if not isinstance(source.image_loader, LoadCheckedImage):
        return None
    try:
        check_image_header(
            header,
            getattr(source.image_loader, 'orientation', None),
            getattr(source.image_loader, 'max_value', None),
        )
    except ValueError as error:
        return str(error)
    return None


def file_identity(path: str) -> tuple[int, int] | None:
    """Return what two paths of one file share; None where there is no such file."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
