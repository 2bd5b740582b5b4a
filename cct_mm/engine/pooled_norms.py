"""Hook that lets several processes score and save one and the same network."""

from mmengine.hooks import EMAHook, Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from cct_mm.models.adversarial import DomainDiscriminator
from cct_mm.models.norm import pool_statistics

from .saving import saves_after


@HOOKS.register_module()
class PooledNormsHook(Hook):
    """Pool the running statistics of all processes before each validation and each checkpoint.

    The weights are equal on all processes; batch norms' running statistics are not, unless
    synchronized, for each process has seen images of its own. Without pooling, validation scores a
    network of each process, and the checkpoint holds that of the first one. Statistics that are
    equal stay as they are. With one process it does nothing.

    Where a checkpoint is written, the queues of a discriminator become those in it, too: whoever
    resumes from it goes on bit for bit as this run.

    See :func:`cct_mm.models.norm.pool_statistics`.
    """

    # Before the checkpoint hook (VERY_LOW), and after hooks that move an average (NORMAL).
    priority = 'LOW'

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs=None
    ) -> None:
        """Pool where a checkpoint is about to be written."""
        if saves_after(runner):
            self._pool(runner)
            for module in runner.model.modules():
                if isinstance(module, DomainDiscriminator):
                    module.share_queues()

    def after_train_epoch(self, runner: Runner) -> None:
        """Pool: a checkpoint hook may count epochs."""
        self._pool(runner)

    def before_val_epoch(self, runner: Runner) -> None:
        """Pool, for what is scored."""
        self._pool(runner)

    @staticmethod
    def _pool(runner: Runner) -> None:
        averages = [hook.ema_model for hook in runner.hooks if isinstance(hook, EMAHook)]
        pool_statistics(runner.model, *averages)
