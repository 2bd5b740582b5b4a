"""L_u of all K decoders as one computation: value and gradient together, in chunks of positions.

The same mathematics as ``consistency_reference.py``, to rounding. It rests on three facts:

- A decoder is a tree over each position of z (``decoder_tree.py``), so a chunk of positions goes
  from the first layer's output to the loss and back on its own, in memory of the chunk's size.
- The losses are sums over pixels, so each chunk's gradient is known with its value.
- The first layer is linear, so every perturbation acts on its few output channels
  (``Perturbation.project``), and z is never copied once a decoder.

It knows no perturbation by name.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from . import decoder_tree
from .auxiliary_bank import AuxiliaryBank
from .perturbations import Context
from .perturbations.base import conv1x1
from .unsupervised import Target, UnsupervisedLoss, UnsupervisedTerms

GROUP_SIZE = 8
"""Decoders computed side by side: efficient products, in memory that K does not enter."""

CHUNK_ELEMENTS = {'cpu': 2**18, 'cuda': 2**25}
"""Numbers in the logits of one chunk: they fit a core's cache on a CPU, and fill a GPU."""


def consistency_fused(
    bank: AuxiliaryBank,
    z: Tensor,
    target: Target,
    terms: UnsupervisedTerms,
    chunk_elements: int | None = None,
) -> UnsupervisedLoss:
    """Compute L_u, and L_P-Wise where it is wanted.

    Args:
        bank: The domain's auxiliary decoders.
        z: The encoder's output for the unlabeled images, [B, D, h, w], float32.
        target: The main head's prediction for them.
        terms: The terms of the loss and their weights.
        chunk_elements: Numbers in the logits of one chunk; changes speed, never the result.
    """
    elements = chunk_elements or CHUNK_ELEMENTS.get(z.device.type, CHUNK_ELEMENTS['cuda'])
    setting = _Setting(bank, target, terms, elements)
    total, distances, pairwise = _Fused.apply(z, setting, *bank.weights, *bank.biases)
    return UnsupervisedLoss(total, distances, pairwise if terms.pairwise else None)


@dataclass
class _Setting:
    bank: AuxiliaryBank
    target: Target
    terms: UnsupervisedTerms
    chunk_elements: int


class _Fused(torch.autograd.Function):
    """From z and the decoders' weights to the loss; the gradients are ready when it is."""

    @staticmethod
    def forward(ctx, z: Tensor, setting: _Setting, *parameters: Tensor):
        computation = _Computation(z, setting)
        computation.run()
        gradients = [computation.grad_z, *computation.grad_weights, *computation.grad_biases]
        ctx.save_for_backward(*gradients)
        distances, pairwise = computation.distances, computation.pairwise
        terms = setting.terms
        total = terms.consistency_weight * distances.mean()
        if terms.pairwise:
            total = total + terms.pairwise.weight * pairwise
        ctx.mark_non_differentiable(distances, pairwise)
        return total, distances, pairwise

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_total: Tensor, *_):
        grad_z, *grad_parameters = (grad * grad_total for grad in ctx.saved_tensors)
        return grad_z, None, *grad_parameters


class _Computation:
    """One step's values and gradients, filled in by :meth:`run`."""

    def __init__(self, z: Tensor, setting: _Setting) -> None:
        self.bank, self.target, self.terms = setting.bank, setting.target, setting.terms
        self.z = z
        bank, terms, target = self.bank, self.terms, self.target
        doublings = len(bank.biases)
        self.guidance = target.guidance(z.shape[2:])
        weight = terms.consistency.position_weight(target.prob, target.valid).to(z.dtype)
        # Every per-pixel quantity is brought into tree order once, for all decoders.
        self.prob = decoder_tree.to_tree(target.prob, doublings)
        self.weight = decoder_tree.to_tree(weight.unsqueeze(1), doublings)[:, 0]
        self.valid = decoder_tree.to_tree(target.valid, doublings)[:, 0]
        pixels = self.prob.shape[1] * self.prob.shape[2]
        self.chunk = max(1, setting.chunk_elements // (pixels * GROUP_SIZE))
        self.grad_z = torch.zeros_like(z)
        self.grad_weights = [torch.zeros_like(w) for w in bank.weights]
        self.grad_biases = [torch.zeros_like(b) for b in bank.biases]
        self.distances = z.new_zeros(len(bank))
        self.pairwise = z.new_zeros(())

    def run(self) -> None:
        """Go through the decoders in groups; the compared ones (Eq. 10) form one of their own."""
        compared = self.terms.compared(self.bank, self.target)
        if compared:
            self._group(compared, pairwise=True)
        rest = [k for k in range(len(self.bank)) if k not in compared]
        for start in range(0, len(rest), GROUP_SIZE):
            self._group(rest[start : start + GROUP_SIZE], pairwise=False)

    def _group(self, group: list[int], pairwise: bool) -> None:
        """Compute some decoders: project z, go through the chunks, pull the gradient back to z."""
        bank, z = self.bank, self.z
        first, *weights = [w[group] for w in bank.weights]
        biases = [b[group] for b in bank.biases]
        perturbations = [bank.perturbations[k] for k in group]
        states = [
            p.draw(
                self._context(
                    k, first[i], [w[i : i + 1] for w in weights], [b[i : i + 1] for b in biases]
                )
            )
            for i, (k, p) in enumerate(zip(group, perturbations, strict=True))
        ]
        y = torch.stack(
            [
                p.project(z, first[i], state)
                for i, (p, state) in enumerate(zip(perturbations, states, strict=True))
            ]
        )
        grad_weights = [torch.zeros_like(w) for w in weights]
        grad_biases = [torch.zeros_like(b) for b in biases]
        grad_y = torch.empty_like(y)
        flat_y, flat_grad = y.flatten(3), grad_y.flatten(3)
        scale = self.terms.consistency_weight / len(bank)
        for image in range(len(z)):
            for start in range(0, flat_y.shape[3], self.chunk):
                part = slice(start, start + self.chunk)
                maps = decoder_tree.forward(
                    flat_y[:, image, :, part].contiguous(), weights, biases, bank.last_relu
                )
                prob = self.prob[image, :, :, part].flatten(1)
                weight = self.weight[image, :, part].flatten()
                value, grad = self.terms.consistency.distance.with_gradient(prob, maps[-1], weight)
                self.distances[group] += value
                grad.mul_(scale)
                if pairwise:
                    value, more = self.terms.pairwise.with_gradient(maps[-1], weight)
                    self.pairwise += value
                    grad.add_(more, alpha=self.terms.pairwise.weight)
                flat_grad[:, image, :, part] = decoder_tree.backward(
                    grad, maps, weights, bank.last_relu, grad_weights, grad_biases
                )
        for total, part in zip(self.grad_weights[1:], grad_weights, strict=True):
            total[group] = part
        for total, part in zip(self.grad_biases, grad_biases, strict=True):
            total[group] = part
        for i, (k, perturbation, state) in enumerate(
            zip(group, perturbations, states, strict=True)
        ):
            grad_z, grad_first = perturbation.project_backward(grad_y[i], z, first[i], state)
            self.grad_z += grad_z
            self.grad_weights[0][k] = grad_first

    def _context(
        self, k: int, first: Tensor, weights: list[Tensor], biases: list[Tensor]
    ) -> Context:
        """Return what the perturbation of decoder k may look at."""

        def kl_gradient(u: Tensor, at_zero: bool) -> Tensor:
            y = conv1x1(self.z, first).flatten(2)
            u, result = u.flatten(2), torch.empty_like(u)
            flat = result.flatten(2)
            for image in range(len(y)):
                for start in range(0, y.shape[2], self.chunk * GROUP_SIZE):
                    part = slice(start, start + self.chunk * GROUP_SIZE)
                    valid = self.valid[image, :, part].flatten()
                    flat[image, :, part] = self._kl_gradient(
                        y[image, :, part], u[image, :, part], at_zero, valid, weights, biases
                    )
            return result

        return Context(
            z=self.z,
            weight=first,
            guidance=self.guidance,
            kl_gradient=kl_gradient,
            key=(*self.target.key, self.bank.names[k], k),
            samples=self.target.samples,
        )

    def _kl_gradient(
        self,
        y: Tensor,
        u: Tensor,
        at_zero: bool,
        valid: Tensor,
        weights: list[Tensor],
        biases: list[Tensor],
    ) -> Tensor:
        """Return the KL's gradient (see ``Context``) on a chunk: [c, P], like y and u."""
        y, u = y[None].contiguous(), u[None].contiguous()
        last_relu = self.bank.last_relu
        maps = decoder_tree.forward(y, weights, biases, last_relu)
        prob = maps[-1].softmax(dim=1)
        if at_zero:
            # (diag(p) - p p^T) J u
            grad = decoder_tree.tangent(u, maps, weights, last_relu)
            grad = prob * (grad - (prob * grad).sum(dim=1, keepdim=True))
        else:
            maps = decoder_tree.forward(y + u, weights, biases, last_relu)
            grad = maps[-1].softmax(dim=1) - prob
        return decoder_tree.backward(grad * valid, maps, weights, last_relu)[0]
