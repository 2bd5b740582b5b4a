"""Float16's loss scale on a CPU, where mmengine's AmpOptimWrapper has none."""

from mmengine.optim import OptimWrapper


class ScaledOptimWrapper(OptimWrapper):
    """What AmpOptimWrapper does on a GPU: the scaler leaves out what is infinite.

    A test's own class has the ``loss_scaler``, so that none is shared by two tests.
    """

    def backward(self, loss, **kwargs):
        self.loss_scaler.scale(loss).backward(**kwargs)
        self._inner_count += 1

    def step(self, **kwargs):
        self.loss_scaler.step(self.optimizer, **kwargs)
        self.loss_scaler.update()
