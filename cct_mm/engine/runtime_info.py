"""Values for the log, fetched from the device when somebody is about to read them."""

import torch
from mmengine import hooks
from mmengine.hooks import LoggerHook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor

from .checkpoints.hook import saves_after


@HOOKS.register_module(force=True)
class RuntimeInfoHook(hooks.RuntimeInfoHook):
    """mmengine's hook, registered under the same name so that every run uses this one.

    mmengine fetches each loss in each iteration: it waits until the device has finished the step,
    and only then prepares the next one, while the device is idle. This one keeps the values on the
    device. It fetches them with one copy where a ``LoggerHook`` logs, a checkpoint is written, an
    epoch or the training ends, or validation begins; the message hub then holds what it would with
    mmengine's. Without a ``LoggerHook`` nobody says when the values are read, and each iteration
    fetches its own.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[str, Tensor]] = []

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Keep the values of this iteration, and fetch all where it is time."""
        for key, value in (outputs or {}).items():
            if isinstance(value, Tensor):
                self._waiting.append((f'train/{key}', value.detach().reshape(())))
            else:
                runner.message_hub.update_scalar(f'train/{key}', value)
        if _is_read_after(runner, batch_idx):
            self._fetch(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        """Fetch, because a checkpoint may be written."""
        self._fetch(runner)
        super().after_train_epoch(runner)

    def after_train(self, runner: Runner) -> None:
        """Fetch the last values."""
        self._fetch(runner)
        super().after_train(runner)

    def before_val(self, runner: Runner) -> None:
        """Fetch, because the best network may be saved."""
        self._fetch(runner)
        super().before_val(runner)

    def _fetch(self, runner: Runner) -> None:
        if not self._waiting:
            return
        keys, values = zip(*self._waiting, strict=True)
        self._waiting = []
        for key, value in zip(keys, torch.stack(values).tolist(), strict=True):
            runner.message_hub.update_scalar(key, value)


def _is_read_after(runner: Runner, batch_idx: int) -> bool:
    loggers = [hook for hook in runner.hooks if isinstance(hook, LoggerHook)]
    return (
        not loggers
        or any(hook.every_n_inner_iters(batch_idx, hook.interval) for hook in loggers)
        or loggers[0].end_of_epoch(runner.train_dataloader, batch_idx)
        or saves_after(runner)
    )
