"""IoU by domain, from one dataloader over all of them."""

from collections.abc import Sequence

import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger, print_log
from mmseg.evaluation.metrics import IoUMetric
from mmseg.registry import METRICS
from prettytable import PrettyTable
from torch import Tensor


@METRICS.register_module()
class DomainIoUMetric(BaseMetric):
    """Intersection over union of each class of each domain, in percent.

    Reports ``<domain>/IoU.<class>``, ``<domain>/mIoU`` (over the classes that occur in labels or
    predictions) and ``mIoU``, the mean over domains, for ``save_best``. One list of results, tagged
    with the domain and cut to the dataset's length, so that no sample counts twice on several GPUs.

    Args:
        ignore_index: Label of pixels that count nowhere.
        collect_device: Where results of several ranks meet, ``'cpu'`` or ``'gpu'``.
    """

    default_prefix = None

    def __init__(self, ignore_index: int = 255, collect_device: str = 'cpu') -> None:
        super().__init__(collect_device=collect_device)
        self.ignore_index = ignore_index

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Count intersections and unions of a batch."""
        for sample in data_samples:
            domain = sample['domain']
            num_classes = len(self.dataset_meta['domains'][domain]['classes'])
            label = sample['gt_sem_seg']['data'].squeeze()
            prediction = sample['pred_sem_seg']['data'].squeeze().to(label)
            areas = IoUMetric.intersect_and_union(prediction, label, num_classes, self.ignore_index)
            self.results.append((domain, *areas))

    def compute_metrics(self, results: list[tuple[str, Tensor, Tensor, Tensor, Tensor]]) -> dict:
        """Sum the counts by domain and divide."""
        metrics, means = {}, {}
        for domain, meta in self.dataset_meta['domains'].items():
            counts = [
                (intersect, union) for name, intersect, union, _, _ in results if name == domain
            ]
            if not counts:
                continue
            intersect, union = (
                torch.stack(list(c)).sum(dim=0).double() for c in zip(*counts, strict=True)
            )
            iou = 100 * intersect / union
            for name, value in zip(meta['classes'], iou.tolist(), strict=True):
                metrics[f'{domain}/IoU.{name}'] = value
            means[domain] = metrics[f'{domain}/mIoU'] = iou.nanmean().item()
            self._print(domain, meta['classes'], iou, means[domain])
        metrics['mIoU'] = sum(means.values()) / len(means)
        return metrics

    def _print(self, domain: str, classes: Sequence[str], iou: Tensor, mean: float) -> None:
        table = PrettyTable([domain, 'IoU'])
        table.add_rows(
            [[name, f'{value:.2f}'] for name, value in zip(classes, iou.tolist(), strict=True)]
        )
        table.add_row(['mean', f'{mean:.2f}'])
        print_log('\n' + table.get_string(), logger=MMLogger.get_current_instance())
