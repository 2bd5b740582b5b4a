"""IoU, accuracy and Dice of each domain, from one dataloader over all domains."""

import math
from collections.abc import Sequence

import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger, print_log
from mmseg.registry import METRICS
from prettytable import PrettyTable
from torch import Tensor

from cct_mm.labels import IGNORE_INDEX

from .prediction_files import PredictionFiles


def confusion_matrix(
    prediction: Tensor, label: Tensor, num_classes: int, ignore_index: int = IGNORE_INDEX
) -> Tensor:
    """Count the pixels of each class by what was predicted there.

    Args:
        prediction: Predicted classes.
        label: True classes; what is no class counts nowhere.
        num_classes: Number of classes C.
        ignore_index: Label of pixels that are not counted.

    Shape:
        - prediction, label: the same, integers
        - output: [C, C], int64; the row is the true class, the column the predicted one
    """
    counted = (label != ignore_index) & (label < num_classes)
    pairs = label[counted].long() * num_classes + prediction[counted].long()
    return torch.bincount(pairs, minlength=num_classes**2).view(num_classes, num_classes)


def class_scores(confusion: Tensor) -> dict[str, Tensor]:
    """Return the scores of each class in percent, by mmseg's names.

    ``IoU`` is the intersection of truth and prediction over their union, ``Acc`` over the truth
    (recall), and ``Dice`` twice over their sum. What would be 0 / 0 is nan.

    Args:
        confusion: As :func:`confusion_matrix` returns it.

    Shape:
        - confusion: [C, C]
        - output: [C] each, float64
    """
    intersect, labels = confusion.diagonal().double(), confusion.sum(dim=1)
    both = labels + confusion.sum(dim=0)
    return {
        'IoU': 100 * intersect / (both - intersect),
        'Acc': 100 * intersect / labels,
        'Dice': 200 * intersect / both,
    }


@METRICS.register_module()
class DomainIoUMetric(BaseMetric):
    """Intersection over union of each class of each domain, with accuracy and Dice, in percent.

    Reports ``<domain>/IoU.<class>``, the means ``<domain>/mIoU``, ``<domain>/mAcc`` and
    ``<domain>/mDice``, the share of right pixels ``<domain>/aAcc``, and ``mIoU``, the mean over
    domains, for ``save_best``. A class that occurs in neither labels nor predictions is nan and
    counts in no mean, as in mmseg; the log names it. A domain without any class is nan, too. All
    domains share one list of results, which is cut to the dataset's length, so that no sample
    counts twice on several GPUs.

    Args:
        ignore_index: Label of pixels that are not counted.
        collect_device: Where the results of all ranks are gathered, ``'cpu'`` or ``'gpu'``.
        output_dir: Folder for the predictions as PNGs of labels, see
            :class:`~cct_mm.evaluation.prediction_files.PredictionFiles`.
        keep_results: Nothing; mmseg's ``test.py --out`` sets it beside ``output_dir``.

    Attributes:
        confusion: The :func:`confusion_matrix` of each domain in the last evaluation.
    """

    # Not None, of which mmengine would warn: the names have no prefix.
    default_prefix = ''

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
        self.confusion: dict[str, Tensor] = {}

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Count the pixels of a batch."""
        for sample in data_samples:
            domain = sample['domain']
            num_classes = len(self.dataset_meta['domains'][domain]['classes'])
            if 'gt_sem_seg' not in sample:
                raise ValueError(
                    f'domain {domain}: {sample.get("img_path")} comes without labels, expected a '
                    "label map to score by; add dict(type='LoadCheckedAnnotations') to its "
                    'pipeline, or predict images without labels by tools/predict.py'
                )
            label = sample['gt_sem_seg']['data'].squeeze()
            prediction = sample['pred_sem_seg']['data'].squeeze().to(label.device)
            counts = confusion_matrix(prediction, label, num_classes, self.ignore_index)
            # Of many classes an image shows few; what is gathered from all ranks stays small.
            counts = counts.flatten().cpu()
            cells = counts.nonzero().squeeze(1)
            self.results.append((domain, cells, counts[cells]))
            if self.files is not None:
                several = len(self.dataset_meta['domains']) > 1
                self.files.write(sample, domain if several else '')

    def compute_metrics(self, results: list[tuple[str, Tensor, Tensor]]) -> dict:
        """Sum the counts of each domain, and divide."""
        metrics, means, self.confusion = {}, {}, {}
        for domain, meta in self.dataset_meta['domains'].items():
            counts = [(cells, n) for name, cells, n in results if name == domain]
            if not counts:
                continue
            size = len(meta['classes'])
            confusion = torch.zeros(size * size, dtype=torch.int64)
            for cells, n in counts:
                confusion[cells] += n
            confusion = self.confusion[domain] = confusion.view(size, size)
            scores = class_scores(confusion)
            for name, value in zip(meta['classes'], scores['IoU'].tolist(), strict=True):
                metrics[f'{domain}/IoU.{name}'] = value
            right, total = confusion.diagonal().sum().double(), confusion.sum()
            metrics[f'{domain}/aAcc'] = (100 * right / total).item()
            for name, values in scores.items():
                metrics[f'{domain}/m{name}'] = values.nanmean().item()
            means[domain] = metrics[f'{domain}/mIoU']
            self._print(domain, meta['classes'], scores, confusion.sum(dim=1))
        metrics['mIoU'] = torch.tensor(list(means.values()), dtype=torch.float64).nanmean().item()
        if empty := [domain for domain, mean in means.items() if math.isnan(mean)]:
            _log(
                f'mIoU: mean over {len(means) - len(empty)} of {len(means)} domains, without any '
                f'class: {", ".join(empty)}'
            )
        return metrics

    def _print(
        self, domain: str, classes: Sequence[str], scores: dict[str, Tensor], labels: Tensor
    ) -> None:
        table = PrettyTable([domain, *scores])
        columns = [[*values.tolist(), values.nanmean().item()] for values in scores.values()]
        for name, *values in zip([*classes, 'mean'], *columns, strict=True):
            table.add_row([name, *(f'{value:.2f}' for value in values)])
        iou = scores['IoU']
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
