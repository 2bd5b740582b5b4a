"""Annealed bootstrapped cross-entropy, ab-CE (paper, Eqs. 4 and 17)."""

from collections.abc import Sequence

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from cct_mm.models.progress import NeedsProgress
from cct_mm.schedules import RampUp

from .average import mean_over_ranks


def annealed_cross_entropy(
    logits: Tensor,
    labels: Tensor,
    threshold: float,
    ignore_index: int = 255,
    class_weight: Tensor | None = None,
    average_over: str = 'valid',
    min_kept: int = 0,
) -> Tensor:
    r"""Return the cross-entropy over pixels that the network does not classify with confidence yet.

    .. math:: L_s = \frac{1}{N} \sum_i [p_i(y_i) < \eta] \, w_{y_i} (-\log p_i(y_i))

    Args:
        logits: Main head's output.
        labels: Class of each pixel.
        threshold: eta in [0, 1]; pixels whose true class has at least this probability are left
            out.
        ignore_index: Label of pixels that are left out altogether.
        class_weight: Weight of each class, [C].
        average_over: The pixels that N counts: ``'valid'`` means all with a label (Eq. 4, whose
            ``1/|D_l|`` does not depend on eta), ``'kept'`` means those below the threshold (the
            released code).
        min_kept: The least number of pixels that are kept, for each image on average: the
            threshold of a batch rises until so many are below it (1 in the released code).

    Shape:
        - logits: [B, C, H, W]
        - labels: [B, H, W]
        - output: scalar

    Raises:
        ValueError: If ``average_over`` is neither ``'valid'`` nor ``'kept'``.
    """
    check_average_over(average_over)
    valid = labels != ignore_index  # [B, H, W]
    # [B, H, W]
    loss = F.cross_entropy(logits, labels, reduction='none', ignore_index=ignore_index)
    # The unweighted cross-entropy of a pixel is -log p(y), so the probability needs no second pass.
    prob = torch.exp(-loss.detach())
    if min_kept:
        threshold = _raised(threshold, prob, valid, min_kept * len(labels))
    kept = valid & (prob < threshold)
    if class_weight is not None:
        loss = loss * class_weight.to(loss)[labels.where(valid, 0)]
    counted = kept if average_over == 'kept' else valid
    return (loss * kept).sum() / mean_over_ranks(counted.sum()).clamp(min=1e-6)


def _raised(threshold: float, prob: Tensor, valid: Tensor, count: int) -> Tensor:
    """Return a threshold with ``count`` valid pixels below it, as far as there are more."""
    among = prob.masked_fill(~valid, float('inf')).flatten()
    lowest = among.topk(min(count + 1, among.numel()), largest=False).values
    return lowest.masked_fill(lowest.isinf(), 0).amax().clamp(min=threshold)


def check_average_over(average_over: str) -> None:
    """Raise a ``ValueError`` if :func:`annealed_cross_entropy` does not know the argument."""
    if average_over not in ('valid', 'kept'):
        raise ValueError(
            f"ab-CE: average_over is {average_over!r}, expected 'valid' (Eq. 4) or 'kept' "
            '(released code)'
        )


@MODELS.register_module()
class AnnealedCrossEntropy(NeedsProgress, nn.Module):
    """Use :func:`annealed_cross_entropy` as ``loss_decode`` of an mmseg head.

    The threshold eta rises from 1/C to ``threshold`` along the log schedule of Eq. 17.

    Args:
        threshold: Final eta, alpha in Eq. 17, in (0, 1].
        ramp_up: Length of the rise as a share of training: 0.4 in Supplement K, 0.5 in Table 12.
        shape: Shape of the ramp, see :mod:`cct_mm.schedules`.
        class_weight: Weight of each class; None gives all the same.
        average_over: See :func:`annealed_cross_entropy`.
        min_kept: See :func:`annealed_cross_entropy`.
        loss_weight: Factor on the value.
        loss_name: Key in the log; it must begin with ``loss_`` to be trained on.
    """

    def __init__(
        self,
        threshold: float = 0.9,
        ramp_up: float = 0.4,
        shape: str = 'log',
        class_weight: Sequence[float] | None = None,
        average_over: str = 'valid',
        min_kept: int = 0,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_ab_ce',
    ) -> None:
        super().__init__()
        check_average_over(average_over)
        if not 0 < threshold <= 1:
            raise ValueError(
                f'AnnealedCrossEntropy: threshold is {threshold}, expected a probability in (0, 1]'
            )
        self.ramp = dict(final=threshold, shape=shape, length=ramp_up)
        RampUp(**self.ramp)
        weight = None if class_weight is None else torch.tensor(class_weight)
        self.register_buffer('class_weight', weight, persistent=False)
        self.average_over = average_over
        self.min_kept = min_kept
        self.loss_weight = loss_weight
        self.loss_name = loss_name

    def forward(
        self,
        cls_score: Tensor,
        label: Tensor,
        weight: Tensor | None = None,
        ignore_index: int = 255,
        **kwargs,
    ) -> Tensor:
        """Return the loss.

        Raises:
            ValueError: If the head's pixel sampler gave a ``weight``, since ab-CE itself chooses
                the pixels, or if the number of class weights is not the number of classes.
        """
        if weight is not None:
            raise ValueError(
                'AnnealedCrossEntropy: the head has a pixel sampler, expected none, because ab-CE '
                "itself chooses the pixels; remove `sampler` from the head's config"
            )
        classes = cls_score.shape[1]
        if self.class_weight is not None and len(self.class_weight) != classes:
            raise ValueError(
                f'AnnealedCrossEntropy: class_weight has {len(self.class_weight)} numbers, '
                f'expected one for each of the {classes} classes of the head'
            )
        threshold = RampUp(start=1 / classes, **self.ramp)(self.progress)
        return self.loss_weight * annealed_cross_entropy(
            cls_score,
            label,
            threshold,
            ignore_index,
            self.class_weight,
            self.average_over,
            self.min_kept,
        )
