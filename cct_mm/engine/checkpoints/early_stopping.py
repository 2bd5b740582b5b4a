"""mmengine's ``EarlyStoppingHook``, of whose end a resumed run knows."""

from mmengine import hooks
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from .hook import CheckpointHook

STATE = 'early_stopping'
"""Name in a checkpoint's message hub: the best value, and validations since."""
STOPPED = 'stopped_early'
"""Name in a checkpoint's message hub: the sentence of a run that was ended early."""


@HOOKS.register_module(force=True)
class EarlyStoppingHook(hooks.EarlyStoppingHook):
    """mmengine's hook, registered under the same name so that existing configs use this one.

    What it has seen is part of each checkpoint, so that a resumed run stops where an undisturbed
    one does. The iteration at which it ends a run is saved, with the reason, which ``--resume``
    reads: it trains on only after this hook was removed from the config, or changed there. The
    arguments are mmengine's; ``monitor`` is a metric such as ``'mIoU'`` or ``'day/mIoU'``.
    """

    # A run that was killed before this hook saved its end validates again, and ends again.
    _reason = ''

    def before_train(self, runner: Runner) -> None:
        """Go on with what the resumed run had seen."""
        seen = runner.message_hub.get_info(STATE) or {}
        if seen.get('monitor') == self.monitor:
            self.best_score, self.wait_count = seen['best_score'], seen['wait_count']

    def _check_stop_condition(self, current_score: float) -> tuple[bool, str]:
        stop, self._reason = super()._check_stop_condition(current_score)
        return stop, self._reason

    def after_val_epoch(self, runner: Runner, metrics: dict) -> None:
        """Decide whether the training ends here, and save it if it does."""
        super().after_val_epoch(runner, metrics)
        seen = dict(monitor=self.monitor, best_score=self.best_score, wait_count=self.wait_count)
        runner.message_hub.update_info(STATE, seen)
        if not self._reason:
            return
        sentence = (
            f'ended early by EarlyStoppingHook at iteration {runner.iter} of {runner.max_iters}, '
            f'by {self.monitor}: {self._reason.strip().rstrip(".")}'
        )
        runner.message_hub.update_info(STOPPED, sentence)
        for hook in runner.hooks:
            if isinstance(hook, CheckpointHook):
                hook.save_now(runner)
