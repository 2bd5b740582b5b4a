"""Hook that checks the evaluators before the first iteration."""

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from cct_mm.evaluation.evaluator_check import check_evaluator


@HOOKS.register_module()
class EvaluatorCheckHook(Hook):
    """Refuse metrics that do not fit the domains, see :func:`check_evaluator`."""

    def before_train(self, runner: Runner) -> None:
        """Check what validation will use."""
        if runner.val_loop is not None:
            self.before_val(runner)

    def before_val(self, runner: Runner) -> None:
        """Check the evaluator of the validation."""
        check_evaluator(runner.val_loop.evaluator, 'val_evaluator')

    def before_test(self, runner: Runner) -> None:
        """Check the evaluator of the test."""
        check_evaluator(runner.test_loop.evaluator, 'test_evaluator')
