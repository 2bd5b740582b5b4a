"""L_u as the paper tells it (Algorithm 1, step 4): one auxiliary decoder after another.

The readable form, kept as the measure of ``consistency_fused.py``, which computes the same.
"""

import torch
from torch import Tensor

from cct_mm.models.losses import weak_cross_entropy, weak_position_weight
from cct_mm.models.subpixel_head import subpixel_decode

from .auxiliary_bank import AuxiliaryBank
from .perturbations import Context, Guidance
from .perturbations.base import conv1x1
from .unsupervised import Target, UnsupervisedLoss, UnsupervisedTerms


def consistency_reference(
    bank: AuxiliaryBank, z: Tensor, target: Target, terms: UnsupervisedTerms
) -> UnsupervisedLoss:
    """Compute L_u, with L_P-Wise and L_w where wanted; arguments as ``consistency_fused``."""
    guidance = target.guidance(z.shape[2:])
    weight = terms.consistency.position_weight(target.prob, target.valid).to(z.dtype)
    compared = terms.compared(bank, target)
    labels = target.pseudo_labels
    if labels is not None:
        weak_weight = weak_position_weight(labels, target.valid, z.dtype)
    distances, kept, weak = [], [], []
    for k, perturbation in enumerate(bank.perturbations):
        with torch.no_grad():
            state = perturbation.draw(draw_context(bank, k, z, target, guidance))
        logits = bank.decode(k, perturbation.perturb(z, state))
        distances.append(terms.consistency(target.prob, logits, weight))
        if labels is not None:
            weak.append(weak_cross_entropy(logits, labels, weak_weight))
        if k in compared:
            kept.append(logits)
    distances = torch.stack(distances)
    total = terms.consistency_weight * distances.mean()
    loss = UnsupervisedLoss(total, distances.detach())
    if weak:
        loss.weak = torch.stack(weak).mean()
        loss.total = loss.total + terms.weak_weight * loss.weak
        loss.weak = loss.weak.detach()
    if compared:
        loss.pairwise = terms.pairwise(torch.stack(kept), weight)
        loss.total = loss.total + terms.pairwise.weight * loss.pairwise
        loss.pairwise = loss.pairwise.detach()
    return loss


def draw_context(
    bank: AuxiliaryBank, k: int, z: Tensor, target: Target, guidance: Guidance
) -> Context:
    """Return what the perturbation of decoder k may look at."""
    first, weights, biases = bank.decoder(k)
    weights, biases = [w.detach() for w in weights], [b.detach() for b in biases]
    y = conv1x1(z, first).detach()

    def log_prob(y: Tensor) -> Tensor:
        return subpixel_decode(y, weights, biases, bank.last_relu).log_softmax(dim=1)

    def divergence(u: Tensor) -> Tensor:
        reference = log_prob(y)
        distance = reference.exp() * (reference - log_prob(y + u))
        return (distance * target.valid).sum()

    def kl_gradient(u: Tensor, at_zero: bool) -> Tensor:
        gradient = torch.func.grad(divergence)
        if at_zero:
            return torch.func.jvp(gradient, (torch.zeros_like(u),), (u,))[1]
        return gradient(u)

    return Context(
        z=z.detach(),
        weight=first.detach(),
        guidance=guidance,
        kl_gradient=kl_gradient,
        key=(*target.key, bank.names[k], k),
        samples=target.samples,
    )
