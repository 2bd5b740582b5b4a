"""Tell the model where training stands."""

import torch
from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn

from cct_mm import keyed
from cct_mm.datasets import AlternatingDomainSampler
from cct_mm.models.progress import set_progress
from cct_mm.models.segmentors import MultiDomainSegmentor
from cct_mm.schedules import Progress


@HOOKS.register_module()
class TrainingProgressHook(Hook):
    """Before each step, set iteration, length and seed of the run on the modules that need them.

    The hook also seeds PyTorch's global generators by (seed, iteration, rank), so that third-party
    layers such as dropout draw the same numbers after a resume.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._stepped = False

    def before_train(self, runner) -> None:
        """Give the sampler the run's seed, which a resumed checkpoint may have brought.

        And watch the optimizer: not every iteration ends in a step.
        """
        sampler = runner.train_dataloader.sampler
        if isinstance(sampler, AlternatingDomainSampler):
            sampler.seed = run_seed(runner)
        runner.optim_wrapper.optimizer.register_step_post_hook(self._note_step)

    def _note_step(self, *args) -> None:
        self._stepped = True

    def before_train_iter(self, runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Seed the generators and set the progress."""
        seed = run_seed(runner)
        torch.manual_seed(keyed.key(seed, 'iteration', runner.iter, runner.rank))
        set_progress(model_of(runner), Progress(runner.iter, runner.max_iters, seed))

    def after_train_iter(
        self, runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Let a method do what it does after each optimizer step, such as move a teacher.

        There is none where gradients are still accumulated, and where the step is left out: by
        :class:`~cct_mm.engine.divergence.step_guard.StepGuard` or float16's loss scale.
        """
        stepped, self._stepped = self._stepped, False
        model = model_of(runner)
        if stepped and isinstance(model, MultiDomainSegmentor):
            model.after_step()


def model_of(runner: Runner) -> nn.Module:
    """Return the runner's model without its wrappers: for several processes, for augmentation."""
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    return model.module if isinstance(model, BaseTTAModel) else model


def run_seed(runner: Runner) -> int:
    """Return the seed that all ranks share, without the rank that mmengine may have added."""
    different = runner.cfg.get('randomness', {}).get('diff_rank_seed', False)
    return runner.seed - runner.rank if different else runner.seed
