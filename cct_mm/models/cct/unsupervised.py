"""The interface of the fused and the reference path: their inputs and the loss that they return."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cct_mm import keyed
from cct_mm.models.losses import ConsistencyLoss, PairwiseLoss, weak_position_weight
from cct_mm.models.strong_views import StrongView

from .auxiliary_bank import AuxiliaryBank
from .perturbations import Guidance


@dataclass
class Target:
    """What the auxiliary decoders learn from in one batch of unlabeled images.

    Args:
        prob: y^u = softmax of the main head's logits, without gradient.
        valid: True on the image, False on padding.
        foreground: Which classes are foreground (things).
        key: Seed, domain and iteration, on which all random numbers of the step depend.
        samples: For each image, the key that identifies it in the whole run.
        pseudo_labels: y_p of weakly labeled images, 255 where there is none; None without L_w.

    Shape:
        - prob: [B, C, H, W], float32
        - valid: [B, 1, H, W], bool
        - foreground: [C], bool
        - pseudo_labels: [B, H, W], int64
    """

    prob: Tensor
    valid: Tensor
    foreground: Tensor
    key: tuple[keyed.Part, ...]
    samples: list[keyed.Part]
    pseudo_labels: Tensor | None = None

    def mixed(self, view: StrongView) -> 'Target':
        """Return the target of the first strong view of the images, CutMix done."""
        view = StrongView(view.images[: len(self.prob)], view.boxes[: len(self.prob)])
        labels = self.pseudo_labels
        return replace(
            self,
            prob=view.mixed(self.prob),
            valid=view.mixed(self.valid),
            pseudo_labels=None if labels is None else view.mixed(labels),
        )

    def guidance(self, size: tuple[int, int]) -> Guidance:
        """Bring the main prediction to z's size (h, w): the first pixel of each position."""
        steps = [full // own for full, own in zip(self.prob.shape[2:], size, strict=True)]
        first = (..., slice(None, None, steps[0]), slice(None, None, steps[1]))
        labels = self.prob[first].argmax(dim=1)  # [B, h, w]
        valid = self.valid[first]  # [B, 1, h, w]
        foreground = self.foreground[labels].unsqueeze(1) & valid  # [B, 1, h, w]
        return Guidance(labels, foreground, valid)


@dataclass
class UnsupervisedTerms:
    """The terms of the unsupervised loss and their weights in this iteration.

    Args:
        consistency: The distance d of Eq. 2.
        consistency_weight: w_u(t) of Eq. 3.
        pairwise: Eq. 10 with its own weight, or None.
        weak_weight: w_w(t) of Eq. 5; L_w is computed where the target has pseudo-labels.
    """

    consistency: ConsistencyLoss
    consistency_weight: float
    pairwise: PairwiseLoss | None = None
    weak_weight: float = 0.0

    def compared(self, bank: AuxiliaryBank, target: Target) -> list[int]:
        """Return the decoders that Eq. 10 compares in this step; an empty list without Eq. 10."""
        return self.pairwise.subset(len(bank), *target.key) if self.pairwise else []

    def position_weights(self, target: Target, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        """Return the weight of each pixel in L_u and L_P-Wise, and in L_w.

        Shape:
            - output: [B, H, W] each; the second is None without pseudo-labels
        """
        weight = self.consistency.position_weight(target.prob, target.valid).to(dtype)
        if target.pseudo_labels is None:
            return weight, None
        return weight, weak_position_weight(target.pseudo_labels, target.valid, dtype)


@dataclass
class UnsupervisedLoss:
    """The unsupervised loss, in sum and term by term.

    Args:
        total: w_u L_u + w_p L_P-Wise + w_w L_w, with gradient.
        distances: d(y^u, y_a^k) of each decoder, without gradient.
        pairwise: L_P-Wise before weighting, without gradient; None where it is not computed.
        weak: L_w before weighting, without gradient; None where it is not computed.

    Shape:
        - total, pairwise, weak: scalar
        - distances: [K]
    """

    total: Tensor
    distances: Tensor
    pairwise: Tensor | None = None
    weak: Tensor | None = None
