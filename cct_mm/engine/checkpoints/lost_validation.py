"""Make up for a validation that a killed run did not reach."""

from pathlib import Path

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import IterBasedTrainLoop, Runner

from .files import write_durably

MARK = 'last_validation'
"""Name of the file in a work dir that holds the iteration of the last validation."""


@HOOKS.register_module()
class LostValidationHook(Hook):
    """Validate first when a run resumes from a checkpoint whose validation is missing.

    A checkpoint is written before the validation of its iteration. A run that was killed between
    the two would go on without that validation, and could choose another best checkpoint than an
    undisturbed run.
    """

    # After the checkpoint hook, which may choose the best checkpoint by this validation.
    priority = 'LOWEST'

    def before_train(self, runner: Runner) -> None:
        """Validate if the resumed iteration should have been validated and was not."""
        if not isinstance(runner.train_loop, IterBasedTrainLoop):
            return
        if runner.iter == 0:
            self._write(runner)
        elif _is_due(runner):
            # Only rank 0 has to see the work dir.
            box = [last_validation(runner.work_dir)]
            broadcast_object_list(box)
            if box[0] != runner.iter:
                runner.logger.info(f'Iteration {runner.iter} was saved, but not validated: now')
                runner.val_loop.run()

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Note that the present iteration has been validated."""
        if isinstance(runner._train_loop, IterBasedTrainLoop):
            self._write(runner)

    @staticmethod
    def _write(runner: Runner) -> None:
        if is_main_process():
            write_durably(Path(runner.work_dir) / MARK, str(runner.iter).encode())


def last_validation(work_dir: str | Path) -> int | None:
    """Return the iteration at which a training was validated last; 0 before the first time.

    Args:
        work_dir: Work dir of the training.

    Returns:
        The iteration, or None if it is not known.
    """
    try:
        return int((Path(work_dir) / MARK).read_text())
    except (OSError, ValueError):
        return None


def _is_due(runner: Runner) -> bool:
    """Tell whether the training loop validates at the present iteration."""
    loop = runner.train_loop
    if runner.val_loop is None or runner.iter < loop.val_begin:
        return False
    loop._decide_current_val_interval()
    return runner.iter % loop.val_interval == 0 or runner.iter == loop.max_iters
