"""Average precision of image-level predictions, by domain."""

from collections.abc import Sequence

import torch
from mmengine.evaluator import BaseMetric
from mmseg.registry import METRICS
from torch import Tensor


def average_precision(scores: Tensor, targets: Tensor) -> float:
    """Return the mean over the positive images of the precision at their rank, in [0, 1].

    Images of equal score share one rank, so their order does not matter.

    Args:
        scores: Score of each image; it is higher if the image is likelier to show the class.
        targets: Whether each image shows the class.

    Shape:
        - scores: [N]
        - targets: [N], bool

    Returns:
        float: The average precision, or nan if no image shows the class.
    """
    if not targets.any():
        return float('nan')
    # [P, N]: for each positive image, the images that are at least as likely.
    among = scores[None, :] >= scores[targets][:, None]
    return ((among & targets).sum(dim=1) / among.sum(dim=1)).mean().item()


@METRICS.register_module()
class ImageLevelMetric(BaseMetric):
    """Average precision of an ``ImageClassifier`` for each class of each domain, in percent.

    Reports ``<domain>/AP.<class>``, ``<domain>/mAP`` over the classes that occur in the labels, and
    ``mAP``, the mean over domains, for ``save_best``.

    Args:
        collect_device: Where the results of all ranks are gathered, ``'cpu'`` or ``'gpu'``.
    """

    default_prefix = None

    def __init__(self, collect_device: str = 'cpu') -> None:
        super().__init__(collect_device=collect_device)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep the scores and labels of a batch."""
        for sample in data_samples:
            scores = sample['image_scores'].cpu()
            if (labels := sample.get('image_labels')) is None:
                raise ValueError(
                    f'{sample.get("img_path")} comes without image-level labels, expected '
                    'LoadImageLabels in the pipeline of val_dataloader, and image_labels among the '
                    'meta_keys of its PackSegInputs'
                )
            self.results.append((sample['domain'], scores, labels))

    def compute_metrics(self, results: list[tuple[str, Tensor, tuple[int, ...]]]) -> dict:
        """Average over the images of each class, then over classes and domains."""
        metrics, means = {}, {}
        for domain, meta in self.dataset_meta['domains'].items():
            own = [(scores, labels) for name, scores, labels in results if name == domain]
            if not own:
                continue
            scores = torch.stack([scores for scores, _ in own])
            targets = torch.zeros_like(scores, dtype=torch.bool)
            for target, (_, labels) in zip(targets, own, strict=True):
                target[list(labels)] = True
            values = []
            for index, name in enumerate(meta['classes']):
                if targets[:, index].any():
                    values.append(100 * average_precision(scores[:, index], targets[:, index]))
                    metrics[f'{domain}/AP.{name}'] = values[-1]
            means[domain] = metrics[f'{domain}/mAP'] = sum(values) / max(len(values), 1)
        metrics['mAP'] = sum(means.values()) / max(len(means), 1)
        return metrics
