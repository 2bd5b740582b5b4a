"""The pairwise loss of Supplement B.2: the variance of the auxiliary predictions (Eq. 10)."""

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn

from cct_mm import keyed


@MODELS.register_module()
class PairwiseLoss(nn.Module):
    r"""Eq. 10: :math:`\frac{1}{K} \sum_k (y_a^k - \bar y_a)^2` over a random subset of decoders.

    It is averaged over positions as L_u is, and over classes if L_u is. Its gradient reaches the
    encoder and the auxiliary decoders; with a weight of 0 it is only computed for the log, as in
    the released code.

    Args:
        weight: Factor on the term in the total loss.
        num_decoders: Size of the subset, drawn in each iteration (paper: 8 of 30), at least 2.

    Raises:
        ValueError: If ``num_decoders`` is below 2.
    """

    def __init__(self, weight: float = 1.0, num_decoders: int = 8) -> None:
        super().__init__()
        if num_decoders < 2:
            raise ValueError(
                f'PairwiseLoss: num_decoders is {num_decoders}, expected at least 2 decoders to '
                'compare (paper: 8)'
            )
        self.weight = weight
        self.num_decoders = num_decoders

    def subset(self, total: int, *key: keyed.Part) -> list[int]:
        """Draw the decoders that are compared, by ``key``; return their sorted indices."""
        order = torch.randperm(total, generator=keyed.generator(*key, 'P-Wise'))
        return sorted(order[: self.num_decoders].tolist())

    def forward(self, logits: Tensor, weight: Tensor) -> Tensor:
        """Return the variance of the predictions, summed over positions with weights.

        Shape:
            - logits: [K, B, C, H, W] of the compared decoders
            - weight: [B, H, W], see ``ConsistencyLoss.position_weight``
            - output: scalar
        """
        prob = logits.softmax(dim=2)  # [K, B, C, H, W]
        variance = (prob - prob.mean(dim=0)).square().mean(dim=0).sum(dim=1)  # [B, H, W]
        return (variance * weight).sum()

    @staticmethod
    def with_gradient(logits: Tensor, weight: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """Return the value of :meth:`forward` and its gradient with respect to the logits.

        With e_k = y_a^k - mean the gradient is ``2 / K w y_a^k (e_k - <y_a^k, e_k>)``: the mean's
        own derivative cancels, because the e_k add up to zero.

        Args:
            logits: The outputs of G decoders, among them all that are compared.
            weight: As in :meth:`forward`.
            share: 1 / K where a decoder is one of the K that are compared, else 0.

        Shape:
            - logits: [G, C, P]
            - weight: [P]
            - share: [G]
            - output: scalar and [G, C, P]
        """
        prob = logits.softmax(dim=1)  # [G, C, P]
        error = prob - torch.tensordot(share, prob, dims=1)  # [G, C, P]
        factor = share.view(-1, 1, 1) * weight  # [G, 1, P]
        value = (error.square().sum(dim=1, keepdim=True) * factor).sum()
        error -= (prob * error).sum(dim=1, keepdim=True)
        return value, error.mul_(prob).mul_(2 * factor)
