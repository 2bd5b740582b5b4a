"""L_u as the paper tells it (Algorithm 1, step 4): one auxiliary decoder after another."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from cct_mm import keyed
from cct_mm.models.losses import ConsistencyLoss, PairwiseLoss

from .auxiliary_bank import AuxiliaryBank
from .perturbations import Context, Guidance


@dataclass
class Target:
    """What the auxiliary decoders are held to, for one batch of unlabeled images.

    Args:
        prob: y^u = softmax of the main head's logits, without gradient.
        valid: True on the image, False on padding.
        foreground: Which classes are foreground (things).
        key: What makes the step's draws its own: seed, domain, iteration.
        samples: For each image the number that identifies it in the whole run.

    Shape:
        - prob: [B, C, H, W], float32
        - valid: [B, 1, H, W], bool
        - foreground: [C], bool
    """

    prob: Tensor
    valid: Tensor
    foreground: Tensor
    key: tuple[keyed.Part, ...]
    samples: list[keyed.Part]

    def guidance(self, size: tuple[int, int]) -> Guidance:
        """Bring the main prediction to z's size (h, w)."""
        labels = F.interpolate(self.prob, size, mode='nearest').argmax(dim=1)
        valid = F.interpolate(self.valid.float(), size, mode='nearest') > 0
        foreground = self.foreground[labels].unsqueeze(1) & valid
        return Guidance(labels, foreground, valid)


def consistency_reference(
    bank: AuxiliaryBank,
    z: Tensor,
    target: Target,
    loss_consistency: ConsistencyLoss,
    loss_pairwise: PairwiseLoss | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Compute every decoder's consistency loss, and the pairwise loss where it is wanted.

    Args:
        bank: The domain's auxiliary decoders.
        z: The encoder's output for the unlabeled images, float32.
        target: The main head's prediction for them.
        loss_consistency: The distance d.
        loss_pairwise: Eq. 10, or None.

    Shape:
        - z: [B, D, h, w]
        - output: [K], d(y^u, y_a^k) of Eq. 2 for each decoder; and a scalar or None
    """
    guidance = target.guidance(z.shape[2:])
    weight = loss_consistency.weight(target.prob, target.valid)
    compared = loss_pairwise.subset(len(bank), *target.key) if loss_pairwise else []
    distances, kept = [], []
    for k, perturbation in enumerate(bank.perturbations):
        with torch.no_grad():
            state = perturbation.draw(draw_context(bank, k, z, target, guidance))
        logits = bank.decode(k, perturbation.perturb(z, state))
        distances.append(loss_consistency(target.prob, logits, weight))
        if k in compared:
            kept.append(logits)
    pairwise = loss_pairwise(torch.stack(kept), weight) if loss_pairwise else None
    return torch.stack(distances), pairwise


def draw_context(
    bank: AuxiliaryBank, k: int, z: Tensor, target: Target, guidance: Guidance
) -> Context:
    """Return what the perturbation of decoder k may look at."""
    return Context(
        z=z.detach(),
        guidance=guidance,
        decode=lambda x: bank.decode(k, x, detach=True),
        valid_pixels=target.valid,
        key=(*target.key, bank.names[k], k),
        samples=target.samples,
    )
