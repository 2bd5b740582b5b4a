"""Hook that tells the model where training stands."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS

from cct_mm.models.progress import set_progress
from cct_mm.schedules import Progress


@HOOKS.register_module()
class TrainingProgressHook(Hook):
    """Set iteration, length and seed of the run on every module that needs them."""

    priority = 'VERY_HIGH'

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Called by the runner."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        set_progress(model, Progress(runner.iter, runner.max_iters, runner.seed))
