"""L_u as the paper tells it (Algorithm 1, step 4): one auxiliary decoder after another.

This is the readable form. ``consistency_fused.py`` computes the same, and the tests compare them.
"""

import warnings

import torch
from torch import Tensor

from cct_mm.models.losses import weak_cross_entropy
from cct_mm.models.subpixel_head import subpixel_decode
from cct_mm.models.transfer import send

from .auxiliary_bank import AuxiliaryBank
from .perturbations import Context, Guidance
from .perturbations.base import conv1x1
from .perturbations.numbers import Request, StepKey
from .unsupervised import Target, UnsupervisedLoss, UnsupervisedTerms


def consistency_reference(
    bank: AuxiliaryBank, z: Tensor, target: Target, terms: UnsupervisedTerms
) -> UnsupervisedLoss:
    """Compute L_u, L_P-Wise and L_w; the arguments are those of ``consistency_fused``."""
    guidance = target.guidance(z.shape[2:])
    # [B, H, W] each
    position_weight, weak_position_weight = terms.position_weights(target, z.dtype)
    compared = terms.compared(bank, target)
    distances, weak, compared_logits = [], [], []
    for k, perturbation in enumerate(bank.perturbations):
        with torch.no_grad():
            state = perturbation.draw(draw_context(bank, k, z, target, guidance))
        (perturbed,) = perturbation.perturb(z, state)  # [B, D, h, w] of [1, B, D, h, w]
        logits = bank.decode(k, perturbed)  # [B, C, H, W]
        distances.append(terms.consistency(target.prob, logits, position_weight))
        if target.pseudo_labels is not None:
            weak.append(weak_cross_entropy(logits, target.pseudo_labels, weak_position_weight))
        if k in compared:
            compared_logits.append(logits)

    distances = torch.stack(distances)  # [K]
    loss = UnsupervisedLoss(terms.consistency_weight * distances.mean(), distances.detach())
    if weak:
        mean = torch.stack(weak).mean()  # []
        loss.total = loss.total + terms.weak_weight * mean
        loss.weak = mean.detach()
    if compared:
        pairwise = terms.pairwise(torch.stack(compared_logits), position_weight)  # []
        loss.total = loss.total + terms.pairwise.weight * pairwise
        loss.pairwise = pairwise.detach()
    return loss


def draw_context(
    bank: AuxiliaryBank, k: int, z: Tensor, target: Target, guidance: Guidance
) -> Context:
    """Return what the perturbation of decoder k may look at, G = 1 decoder."""
    first, weights, biases = bank.decoder(k)
    weights, biases = [w.detach() for w in weights], [b.detach() for b in biases]
    first = first.detach().unsqueeze(0)  # [1, c, D]
    y = conv1x1(z.detach(), first)  # [1, B, c, h, w]

    def log_prob(y: Tensor) -> Tensor:
        # [B, C, H, W]
        return subpixel_decode(y[0], weights, biases, bank.last_relu).log_softmax(dim=1)

    def divergence(u: Tensor) -> Tensor:
        reference = log_prob(y)
        distance = reference.exp() * (reference - log_prob(y + u))
        return (distance * target.valid).sum()

    def kl_gradient(u: Tensor, at_zero: bool) -> Tensor:
        gradient = torch.func.grad(divergence)
        if at_zero:
            with warnings.catch_warnings():
                # torch scripts derivatives of its own at the first call, and warns of scripting.
                warnings.filterwarnings('ignore', '.*torch.jit.script.* is deprecated')
                return torch.func.jvp(gradient, (torch.zeros_like(u),), (u,))[1]
        return gradient(u)

    shape = bank.perturbations[k].numbers(z, first)
    numbers = None
    if shape is not None:
        *key, index = send(z.device, *StepKey.parts(target.key, target.samples), [k])
        (numbers,) = StepKey(*key).draw([Request(index, shape, bank.perturbations[k].shared)])
    return Context(z.detach(), first, guidance, kl_gradient, numbers)
