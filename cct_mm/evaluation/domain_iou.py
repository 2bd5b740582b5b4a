"""IoU of each domain, from one dataloader over all domains."""

import math
from collections.abc import Sequence

import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger, print_log
from mmseg.evaluation.metrics import IoUMetric
from mmseg.registry import METRICS
from prettytable import PrettyTable
from torch import Tensor

from cct_mm.labels import IGNORE_INDEX

from .prediction_files import PredictionFiles


@METRICS.register_module()
class DomainIoUMetric(BaseMetric):
    """Intersection over union of each class of each domain, in percent.

    Reports ``<domain>/IoU.<class>``, ``<domain>/mIoU`` and ``mIoU``, the mean over domains, for
    ``save_best``. A class that occurs in neither labels nor predictions is nan and counts in no
    mean, as in mmseg; the log names it. A domain without any class is nan, too. All domains share
    one list of results, which is cut to the dataset's length, so that no sample counts twice on
    several GPUs.

    Args:
        ignore_index: Label of pixels that are not counted.
        collect_device: Where the results of all ranks are gathered, ``'cpu'`` or ``'gpu'``.
        output_dir: Folder for the predictions as PNGs of labels, see
            :class:`~cct_mm.evaluation.prediction_files.PredictionFiles`.
        keep_results: Nothing; mmseg's ``test.py --out`` sets it beside ``output_dir``.
    """

    default_prefix = None

    def __init__(
        self,
        ignore_index: int = IGNORE_INDEX,
        collect_device: str = 'cpu',
        output_dir: str | None = None,
        keep_results: bool = False,
    ) -> None:
        super().__init__(collect_device=collect_device)
        self.ignore_index = ignore_index
        self.files = PredictionFiles(output_dir) if output_dir else None

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Count the intersections and unions of a batch."""
        for sample in data_samples:
            domain = sample['domain']
            num_classes = len(self.dataset_meta['domains'][domain]['classes'])
            label = sample['gt_sem_seg']['data'].squeeze()
            prediction = sample['pred_sem_seg']['data'].squeeze().to(label)
            areas = IoUMetric.intersect_and_union(prediction, label, num_classes, self.ignore_index)
            self.results.append((domain, *areas))
            if self.files is not None:
                several = len(self.dataset_meta['domains']) > 1
                self.files.write(sample, domain if several else '')

    def compute_metrics(self, results: list[tuple[str, Tensor, Tensor, Tensor, Tensor]]) -> dict:
        """Sum the counts of each domain, and divide."""
        metrics, means = {}, {}
        for domain, meta in self.dataset_meta['domains'].items():
            counts = [areas for name, *areas in results if name == domain]
            if not counts:
                continue
            intersect, union, _, labels = (
                torch.stack(list(c)).sum(dim=0).double() for c in zip(*counts, strict=True)
            )
            iou = 100 * intersect / union
            for name, value in zip(meta['classes'], iou.tolist(), strict=True):
                metrics[f'{domain}/IoU.{name}'] = value
            means[domain] = metrics[f'{domain}/mIoU'] = iou.nanmean().item()
            self._print(domain, meta['classes'], iou, labels)
        metrics['mIoU'] = torch.tensor(list(means.values()), dtype=torch.float64).nanmean().item()
        if empty := [domain for domain, mean in means.items() if math.isnan(mean)]:
            _log(
                f'mIoU: mean over {len(means) - len(empty)} of {len(means)} domains, without any '
                f'class: {", ".join(empty)}'
            )
        return metrics

    def _print(self, domain: str, classes: Sequence[str], iou: Tensor, labels: Tensor) -> None:
        table = PrettyTable([domain, 'IoU'])
        table.add_rows(
            [[name, f'{value:.2f}'] for name, value in zip(classes, iou.tolist(), strict=True)]
        )
        table.add_row(['mean', f'{iou.nanmean().item():.2f}'])
        absent = [name for name, value in zip(classes, iou, strict=True) if value.isnan()]
        unlabeled = [
            name for name, n in zip(classes, labels, strict=True) if n == 0 and name not in absent
        ]
        summary = f'{domain}: mean over {len(classes) - len(absent)} of {len(classes)} classes'
        if absent:
            summary += f', absent: {", ".join(absent)}'
        if unlabeled:
            summary += f'; predicted but in no label, so 0: {", ".join(unlabeled)}'
        _log(f'\n{table.get_string()}\n{summary}')


def _log(text: str) -> None:
    print_log(text, logger=MMLogger.get_current_instance())
