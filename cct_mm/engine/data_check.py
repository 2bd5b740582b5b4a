"""Check data and metrics before the first iteration."""

import logging
from collections.abc import Callable

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmseg.models import SegDataPreProcessor

from cct_mm.datasets.checks.batch import check_batch
from cct_mm.datasets.checks.file_facts import count_masks, read_headers
from cct_mm.datasets.checks.findings import Findings
from cct_mm.datasets.checks.images import check_images, check_loading, check_overlap
from cct_mm.datasets.checks.labels import check_class_lists, check_label_maps, check_labels
from cct_mm.datasets.checks.sources import FileSource, file_sources
from cct_mm.evaluation.evaluator_check import check_evaluator
from cct_mm.models.batch_preprocessor import BatchPreprocessor

from .processes.first_rank import on_first_rank
from .training_progress import model_of


@HOOKS.register_module()
class DataCheckHook(Hook):
    """Refuse data from which nothing can be learned or evaluated, and name what is odd.

    This is the quick form of ``tools/check_data.py``: the labels of each mask file are counted once
    and each image header is read once, so that a later start only compares the files' times. Rank 0
    does it while the other ranks wait. Masks of unlabeled sources are never opened. Metrics that do
    not fit the domains are refused, too, see :func:`~cct_mm.evaluation.check_evaluator`.
    """

    def before_train(self, runner: Runner) -> None:
        """Check the data of training and validation, and the metrics.

        Raises:
            ValueError: With all problems, if the run would be in vain.
        """
        found = on_first_rank(lambda beat: check_run(runner, beat))
        for note in found.notes:
            runner.logger.warning(str(note))
        _refuse(found)
        if runner.val_loop is not None:
            self.before_val(runner)

    def before_val(self, runner: Runner) -> None:
        """Check the metrics of the validation."""
        check_evaluator(runner.val_loop.evaluator, 'val_evaluator')

    def before_test(self, runner: Runner) -> None:
        """Check that images can stand in one batch, and the metrics of the test.

        Raises:
            ValueError: If they do not fit.
        """
        _refuse(on_first_rank(lambda beat: _check_batch(runner, 'test')))
        check_evaluator(runner.test_loop.evaluator, 'test_evaluator')


@HOOKS.register_module()
class EvaluatorCheckHook(Hook):
    """Do nothing: :class:`DataCheckHook` checks the metrics. The name is for older configs."""

    def __init__(self) -> None:
        print_log(
            'EvaluatorCheckHook does nothing any more, because DataCheckHook checks the metrics; '
            'remove it from custom_hooks',
            'current',
            logging.WARNING,
        )


def check_run(runner: Runner, beat: Callable[[], None]) -> Findings:
    """Check the data of training and validation.

    Args:
        runner: Before its first iteration.
        beat: Called after each file.
    """
    training, untold = file_sources(runner.train_dataloader.dataset, 'train')
    validation: list[FileSource] = []
    if runner.val_loop is not None:
        validation, more = file_sources(runner.val_dataloader.dataset, 'val')
        untold += more
    sources = [*training, *validation]
    local = [source for source in sources if source.is_local]
    masks = count_masks(
        [
            info['seg_map_path']
            for source in local
            if source.mask_loader is not None and not source.foreign_transforms
            for info in source.infos
            if info.get('seg_map_path')
        ],
        beat=beat,
        say=runner.logger.info,
    )
    images = [i['img_path'] for s in local if s.image_loader is not None for i in s.infos]
    headers = read_headers(images, beat=beat, say=lambda sentence: None)
    found = Findings(notes=untold)
    for more in (
        check_class_lists(training),
        check_labels(sources, masks),
        check_overlap(training, validation),
        check_loading(sources),
        check_label_maps(sources),
        check_images(sources, headers, masks),
    ):
        found.add(more)
    if runner.val_loop is not None and not found.problems:
        found.add(_check_batch(runner, 'val', validation))
    return found


def _check_batch(runner: Runner, split: str, sources: list[FileSource] | None = None) -> Findings:
    loader = getattr(runner, f'{split}_dataloader')
    if sources is None:
        sources, _ = file_sources(loader.dataset, split)
    preprocessor = type(model_of(runner).data_preprocessor)
    if preprocessor.forward is BatchPreprocessor.forward:
        # It leaves validation to mmseg's.
        preprocessor = SegDataPreProcessor
    return check_batch(split, loader.batch_size, sources, preprocessor)


def _refuse(found: Findings) -> None:
    if found.problems:
        raise ValueError('\n'.join(map(str, found.problems)))
