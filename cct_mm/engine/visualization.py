"""Show predictions in the colors of their domain."""

from collections.abc import Sequence

from mmengine.registry import HOOKS
from mmseg.engine.hooks import SegVisualizationHook
from mmseg.structures import SegDataSample


@HOOKS.register_module()
class DomainVisualizationHook(SegVisualizationHook):
    """mmseg's ``SegVisualizationHook`` with each domain's classes and palette; same arguments."""

    def before_val(self, runner) -> None:
        """Read the domains' palettes."""
        self._domains = runner.val_dataloader.dataset.metainfo['domains']

    def before_test(self, runner) -> None:
        """Read the domains' palettes."""
        self._domains = runner.test_dataloader.dataset.metainfo['domains']

    def after_val_iter(
        self, runner, batch_idx: int, data_batch: dict, outputs: Sequence[SegDataSample]
    ) -> None:
        """Show the first prediction of every ``interval``-th batch."""
        self._use_palette(outputs[0])
        super().after_val_iter(runner, batch_idx, data_batch, outputs)

    def after_test_iter(
        self, runner, batch_idx: int, data_batch: dict, outputs: Sequence[SegDataSample]
    ) -> None:
        """Show every prediction."""
        for output in outputs:
            self._use_palette(output)
            super().after_test_iter(runner, batch_idx, data_batch, [output])

    def _use_palette(self, sample: SegDataSample) -> None:
        self._visualizer.dataset_meta = self._domains[sample.metainfo['domain']]
