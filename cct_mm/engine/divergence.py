"""Hook that ends a run whose loss is no number any more."""

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class DivergenceHook(Hook):
    """Stop where a loss is nan or infinite, instead of training on for hours.

    It looks before the checkpoint of the same iteration is written, so that checkpoints stay good.

    Args:
        interval: Iterations between two looks; each waits for the GPU.
    """

    def __init__(self, interval: int = 50) -> None:
        self.interval = interval

    def after_train_iter(
        self, runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Look at the losses of the iteration.

        Raises:
            FloatingPointError: If one is not finite.
        """
        if not self.every_n_train_iters(runner, self.interval):
            return
        losses = {name: value for name, value in (outputs or {}).items() if 'loss' in name}
        wrong = [name for name, value in losses.items() if not torch.isfinite(value).all()]
        if wrong:
            raise FloatingPointError(
                f'iteration {runner.iter + 1}: {", ".join(wrong)} not finite, expected numbers: '
                f'the run has diverged. Checkpoints in {runner.work_dir} are from before. Look at '
                'which loss grew first, and lower its weight, the learning rate '
                '(optim_wrapper.optimizer.lr), or that of one part alone '
                '(paramwise_cfg.custom_keys)'
            )
