"""L_s of mmseg's heads without waiting for the device, which mmseg does several times a step."""

from collections.abc import Sequence

import torch
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.losses import CrossEntropyLoss
from mmseg.models.losses.cross_entropy_loss import cross_entropy
from mmseg.models.utils import resize
from mmseg.structures import SegDataSample
from torch import Tensor, nn

EPSILON = torch.finfo(torch.float32).eps
"""What mmseg adds to numbers of pixels."""


def loss_by_feat(
    head: BaseDecodeHead, logits: Tensor, samples: list[SegDataSample]
) -> dict[str, Tensor]:
    """Return ``head.loss_by_feat(logits, samples)``, with the same values.

    mmseg counts labeled pixels on the host, for its cross-entropy's mean and twice for the
    accuracy, and sorts the logits to find the largest. A head with a method ``loss_by_feat`` of its
    own or a pixel sampler computes its loss itself.

    Args:
        head: The head, mmseg's or one like it.
        logits: Its output.
        samples: With ``gt_sem_seg``, [1, H, W], padded to one size.

    Shape:
        - logits: [B, C, H, W], or coarser
    """
    own = getattr(type(head), 'loss_by_feat', None) is not BaseDecodeHead.loss_by_feat
    if own or head.sampler is not None:
        return head.loss_by_feat(logits, samples)
    labels = torch.cat([sample.gt_sem_seg.data for sample in samples])  # [B, H, W]
    if logits.shape[2:] != labels.shape[1:]:
        logits = resize(logits, labels.shape[1:], mode='bilinear', align_corners=head.align_corners)
    labeled = labels != head.ignore_index  # [B, H, W]
    count = labeled.sum().to(torch.promote_types(logits.dtype, torch.float32))
    losses = {}
    for term in terms_of(head):
        further = {}
        if _is_mean_over_labels(term):
            weights = term.class_weight
            further['avg_factor'] = (
                count if weights is None else weight_of(labels, labeled, weights)
            )
        value = term(logits, labels, weight=None, ignore_index=head.ignore_index, **further)
        losses[term.loss_name] = losses.get(term.loss_name, 0) + value
    right = (logits.detach().argmax(dim=1) == labels) & labeled
    # As mmseg has it: without any label, 100 percent.
    accuracy = (right.sum() + EPSILON) / (count + EPSILON)
    return losses | {'acc_seg': 100 * accuracy}


def terms_of(head: nn.Module) -> list[nn.Module]:
    """Return the losses in a head's ``loss_decode``."""
    terms = head.loss_decode
    return list(terms) if isinstance(terms, nn.ModuleList) else [terms]


def _is_mean_over_labels(term: nn.Module) -> bool:
    return (
        type(term) is CrossEntropyLoss
        and term.cls_criterion is cross_entropy
        and term.reduction == 'mean'
        and term.avg_non_ignore
    )


def weight_of(labels: Tensor, labeled: Tensor, weights: Sequence[float]) -> Tensor:
    """Add up the weights of the labeled pixels' classes, at which mmseg fails where any has none.

    Shape:
        - labels, labeled: any, the same
        - weights: [C]
    """
    weights = torch.as_tensor(weights, dtype=torch.float32, device=labels.device)  # [C]
    return (weights[labels.where(labeled, 0)] * labeled).sum()
