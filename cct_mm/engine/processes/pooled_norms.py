"""Let several processes validate and save the same network."""

from mmengine.hooks import EMAHook, Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from cct_mm.models.adversarial import DomainDiscriminator
from cct_mm.models.norm import pool_statistics

from ..checkpoints.hook import saves_after


@HOOKS.register_module()
class PooledNormsHook(Hook):
    """Pool the running statistics of all processes before each validation and each checkpoint.

    All processes have the same weights. The running statistics of batch norms differ unless they
    are synchronized, because each process has seen its own images. Without pooling, each process
    would validate its own network, and the checkpoint would hold that of the first process.
    Statistics that are equal stay unchanged. With one process the hook does nothing.

    Before a checkpoint, all processes also take over the discriminator's queues that it will hold,
    so that a resumed run equals this one bit for bit.

    See :func:`cct_mm.models.norm.pool_statistics`.
    """

    # Before the checkpoint hook (VERY_LOW), and after hooks that move an average (NORMAL).
    priority = 'LOW'

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs=None
    ) -> None:
        """Pool if a checkpoint is about to be written."""
        if saves_after(runner):
            self._pool(runner)
            for module in runner.model.modules():
                if isinstance(module, DomainDiscriminator):
                    module.share_queues()

    def after_train_epoch(self, runner: Runner) -> None:
        """Pool, because a checkpoint hook may count epochs."""
        self._pool(runner)

    def before_val_epoch(self, runner: Runner) -> None:
        """Pool, so that all processes validate the same network."""
        self._pool(runner)

    @staticmethod
    def _pool(runner: Runner) -> None:
        averages = [hook.ema_model for hook in runner.hooks if isinstance(hook, EMAHook)]
        pool_statistics(runner.model, *averages)
