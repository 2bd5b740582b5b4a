"""Hook that ends a run whose loss is no number any more."""

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class DivergenceHook(Hook):
    """Stop where a loss or a weight is nan or infinite, instead of training on for hours.

    It looks at losses every so often, and at the weights of each checkpoint before it is written:
    a checkpoint of a run that has diverged never takes the place of a good one.

    Args:
        interval: Iterations between two looks at the losses; each waits for the GPU.
    """

    def __init__(self, interval: int = 50) -> None:
        self.interval = interval
        # Alternating domains have losses of their own names: the last of each counts, for a look
        # every so often would always meet the same domain.
        self._losses: dict[str, torch.Tensor] = {}

    def after_train_iter(
        self, runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Look at the last losses of each domain.

        Raises:
            FloatingPointError: If one is not finite.
        """
        self._losses |= {k: v.detach() for k, v in (outputs or {}).items() if 'loss' in k}
        if not self.every_n_train_iters(runner, self.interval):
            return
        wrong = [name for name, value in self._losses.items() if not torch.isfinite(value).all()]
        if wrong:
            raise FloatingPointError(self._message(runner, f'{", ".join(wrong)} not finite'))

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Look at the weights.

        Raises:
            FloatingPointError: If one is not finite.
        """
        for name, value in checkpoint['state_dict'].items():
            if value.is_floating_point() and not torch.isfinite(value).all():
                raise FloatingPointError(self._message(runner, f'{name} holds nan or infinity'))

    @staticmethod
    def _message(runner, found: str) -> str:
        return (
            f'iteration {runner.iter + 1}: {found}, expected numbers: the run has diverged. '
            f'Checkpoints in {runner.work_dir} are from before. Look at which loss grew first, and '
            'lower its weight, the learning rate (optim_wrapper.optimizer.lr), or that of one part '
            'alone (paramwise_cfg.custom_keys)'
        )
