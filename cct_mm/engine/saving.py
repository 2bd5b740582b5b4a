"""When a checkpoint is about to be written, which mmengine tells the first process alone."""

from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner


def saves_after(runner: Runner) -> bool:
    """Tell whether a checkpoint hook saves after the present iteration, alike on all processes.

    A hook that prepares a checkpoint together with other processes can not do so in
    ``before_save_checkpoint``. It asks here in its ``after_train_iter``, which comes first if its
    priority is above the checkpoint hook's.
    """
    return any(
        isinstance(hook, CheckpointHook)
        and not hook.by_epoch
        and (
            hook.every_n_train_iters(runner, hook.interval, hook.save_begin)
            or (hook.save_last and hook.is_last_train_iter(runner))
        )
        for hook in runner.hooks
    )
