"""mmengine's ``EarlyStoppingHook``, of whose end a resumed run knows."""

import json
from collections.abc import Mapping
from pathlib import Path

from mmengine import hooks
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from .files import write_durably
from .hook import CheckpointHook

SEEN = 'early_stopping.json'
"""Name of the file in a work dir that holds what the hook had seen after each validation."""
STOPPED = 'stopped_early'
"""Name in a checkpoint's message hub: the sentence of a run that was ended early."""


@HOOKS.register_module(force=True)
class EarlyStoppingHook(hooks.EarlyStoppingHook):
    """mmengine's hook, registered under the same name so that existing configs use this one.

    What it has seen is in the work dir, so that a resumed run stops where an undisturbed one does;
    a checkpoint cannot hold it, which is written before the validation of its iteration. The
    iteration at which the hook ends a run is saved, with the reason, which ``--resume`` reads: it
    trains on only after the hook was removed from the config, or changed there.

    The arguments are mmengine's; ``monitor`` is a metric such as ``'mIoU'`` or ``'day/mIoU'``.
    """

    # After the checkpoint hook, 90, which saves the best; before the one that makes up for a lost
    # validation, 100, which has to find what was seen.
    priority = 95
    _reason = ''

    def before_train(self, runner: Runner) -> None:
        """Go on with what the resumed run had seen."""
        # Only rank 0 has to see the work dir.
        box = [self._seen(runner)]
        broadcast_object_list(box)
        if box[0]:
            self.best_score, self.wait_count = list(box[0].values())[-1]

    def _seen(self, runner: Runner) -> dict[str, tuple[float, int]]:
        """Return best value and waits after each validation up to the present iteration."""
        found = _read(runner).get(self.monitor, {})
        return {t: seen for t, seen in found.items() if int(t) <= runner.iter}

    def _check_stop_condition(self, current_score: float) -> tuple[bool, str]:
        stop, self._reason = super()._check_stop_condition(current_score)
        return stop, self._reason

    def after_val_epoch(self, runner: Runner, metrics: dict) -> None:
        """Decide whether the training ends here, and save it if it does."""
        super().after_val_epoch(runner, metrics)
        if is_main_process():
            seen = {**self._seen(runner), str(runner.iter): (self.best_score, self.wait_count)}
            # There may be another hook, of another metric.
            content = json.dumps({**_read(runner), self.monitor: seen})
            write_durably(Path(runner.work_dir) / SEEN, content.encode())
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


def early_stopping_hooks(config: Mapping) -> list:
    """Return what a config says of hooks that end a run early."""
    found = config.get('custom_hooks') or []
    return [hook for hook in found if str(hook.get('type')) == 'EarlyStoppingHook']


def _read(runner: Runner) -> dict[str, dict]:
    try:
        return json.loads((Path(runner.work_dir) / SEEN).read_text())
    except (OSError, ValueError):
        return {}
