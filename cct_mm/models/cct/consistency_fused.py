"""L_u of all K auxiliary decoders computed together: values and gradients, chunk by chunk.

The result is that of ``consistency_reference.py``, to rounding. Three facts make it cheaper:

- A decoder computes each position of z on its own (``decoder_tree.py``). So the batch is cut into
  chunks of positions (``chunks.py``), and each chunk goes from the output of the decoders' first
  layer to the loss and back before the next one begins. Only one chunk's maps are in memory.
- The losses are sums over pixels, so the gradient of a chunk is known together with its value.
- The first layer is linear, so a perturbation can act on its few output channels
  (``Perturbation.project``) instead of on a copy of z for each decoder.

The code knows no perturbation by name, and no loop runs over decoders: those of a group are drawn
(``parts.py``), projected and pulled back together. It is best read in this order:
:func:`consistency_fused`, ``_Fused``, ``_Computation.run`` and ``_compute_group``, which has the
five steps of the method.

The shapes beside the tensors use these letters: B images, K decoders, G of them in a group, D
channels and h x w positions of z, c channels after the first layer, n sub-pixel layers, C classes,
and P positions in a chunk, which have 4^n P pixels. ``each`` stands beside a list of tensors.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from cct_mm.models.losses import weak_cross_entropy_with_gradient

from . import decoder_tree
from .auxiliary_bank import AuxiliaryBank
from .chunks import Chunk, cut_into_chunks
from .kl_gradient import KLGradient
from .parts import Drawing, assemble
from .perturbations import Guidance
from .perturbations.numbers import StepKey, send
from .plan import Group, Plan, groups_of, plan_for
from .unsupervised import Target, UnsupervisedLoss, UnsupervisedTerms


def consistency_fused(
    bank: AuxiliaryBank,
    z: Tensor,
    target: Target,
    terms: UnsupervisedTerms,
    plan: Plan | None = None,
) -> UnsupervisedLoss:
    """Compute L_u and, where the terms ask for them, L_P-Wise and L_w.

    Args:
        bank: The domain's auxiliary decoders.
        z: The encoder's output for the unlabeled images, float32.
        target: The main head's prediction for them.
        terms: The terms of the loss and their weights.
        plan: How much is computed at once, which changes the speed but not the result. None means
            that of z's device.

    Shape:
        - z: [B, D, h, w]
    """
    with torch.no_grad():
        computation = _Computation.of(bank, z, target, terms, plan or plan_for(z))
    total, distances, pairwise, weak = _Fused.apply(z, computation, *bank.weights, *bank.biases)
    return UnsupervisedLoss(
        total,
        distances,
        pairwise if terms.pairwise else None,
        weak if target.pseudo_labels is not None else None,
    )


class _Fused(torch.autograd.Function):
    """The step from z and the decoders' parameters to the loss.

    Its forward pass computes the gradients too, and its backward pass only scales them. The
    parameters are arguments so that autograd asks for their gradients; the computation reads their
    values in its bank.
    """

    @staticmethod
    def forward(ctx, z: Tensor, computation: '_Computation', *parameters: Tensor):
        result = computation.run(z)
        distances, weak, *grad_parameters = result.of_decoders
        ctx.save_for_backward(result.grad_z, *grad_parameters)
        ctx.unit = computation.unit
        pairwise, weak = result.pairwise, weak.mean()
        terms = computation.terms
        total = terms.consistency_weight * distances.mean()  # []
        if terms.pairwise:
            total = total + terms.pairwise.weight * pairwise
        if computation.target.pseudo_labels is not None:
            total = total + terms.weak_weight * weak
        ctx.mark_non_differentiable(distances, pairwise, weak)
        return total, distances, pairwise, weak

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_total: Tensor, *_):
        # [B, D, h, w], then a gradient for each parameter
        grad_z, *grad_parameters = torch._foreach_mul(ctx.saved_tensors, ctx.unit * grad_total)
        return grad_z, None, *grad_parameters


@dataclass
class _Computation:
    """The values and gradients of one training step; :meth:`run` computes them.

    Args:
        bank: The auxiliary decoders.
        target: The predictions that the decoders learn from.
        terms: The terms of the loss and their weights.
        plan: How much is computed at once.
        guidance: What the guided perturbations know of the batch.
        key: On what the random numbers depend.
        groups: The decoders that are computed side by side, one group after another.
        chunks: The parts of the batch, computed one after another.
    """

    bank: AuxiliaryBank
    target: Target
    terms: UnsupervisedTerms
    plan: Plan
    guidance: Guidance
    key: StepKey
    groups: list[Group]
    chunks: list[Chunk]

    @classmethod
    def of(
        cls, bank: AuxiliaryBank, z: Tensor, target: Target, terms: UnsupervisedTerms, plan: Plan
    ) -> '_Computation':
        """Make all that the groups have in common, from one copy of a few integers."""
        compared = terms.compared(bank, target)
        decoders = range(len(bank))
        marks = [k in compared for k in decoders]
        *key, index, marks = send(
            z.device, *StepKey.parts(target.key, target.samples), decoders, marks
        )
        groups = groups_of(len(bank), compared, index, marks, plan, z.dtype)
        largest = max(len(group.index) for group in groups)
        weights = terms.position_weights(target, z.dtype)  # [B, H, W] each
        max_positions = plan.chunk_elements // (bank.num_classes * bank.stride**2 * largest)
        chunks = cut_into_chunks(target, *weights, len(bank.biases), max(1, max_positions))
        guidance = target.guidance(z.shape[2:])
        return cls(bank, target, terms, plan, guidance, StepKey(*key), groups, chunks)

    @property
    def unit(self) -> float:
        """w_u / K, the weight of one decoder's distance in the total loss.

        Gradients are summed up as multiples of it, and the backward pass multiplies by it at the
        end. So the gradient of a distance needs no scaling, which saves a pass over its map. It is
        1 where w_u is 0.
        """
        return self.terms.consistency_weight / len(self.bank) or 1.0

    def run(self, z: Tensor) -> '_Result':
        """Compute the losses and their gradients for z, [B, D, h, w]."""
        channels_last = z.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if channels_last else torch.contiguous_format
        result = _Result(len(self.bank), torch.zeros_like(z, memory_format=layout))
        for group in self.groups:
            self._compute_group(group, z, result)
        return result

    def _compute_group(self, group: Group, z: Tensor, result: '_Result') -> None:
        """Compute the decoders of a group and store their values and gradients in ``result``."""
        # 1. Take the group's parameters.
        # [G, c, D]; [G, 4 c_out, c_in] each; [G, 4 c_out] each
        first, *weights = [group.take(weight) for weight in self.bank.weights]
        biases = [group.take(bias) for bias in self.bank.biases]
        # [G, 4 c_out + 4, c_in + 1] each, the last [G, 4 C, c_in + 1]
        layers = decoder_tree.with_bias(weights, biases)

        # 2. Let the perturbations make their choices.
        def kl_gradient(decoders: slice) -> KLGradient:
            own = [layer[decoders] for layer in layers]
            return KLGradient(z, first[decoders], own, self.bank.last_relu, self.chunks)

        drawing = Drawing(z, first, group.index, self.guidance, self.key, kl_gradient)
        perturbations = [self.bank.perturbations[k] for k in group.decoders]
        parts = drawing.parts(perturbations, self.plan.copies)

        # 3. Perturb z and apply the first layer.
        y = assemble(
            parts,
            [part.perturbation.project(z, part.take(first), part.state) for part in parts],
        )  # [G, B, c, h, w]

        # 4. Go from there to the losses and back, chunk by chunk.
        # [G, B, c, h, w]; [G, c_in + 1, 4 c_out + 4] each, the last [G, c_in + 1, 4 C]
        sums, grad_y, grad_layers = self._compute_chunks(y, layers, group)

        # 5. Go back through the first layer and the perturbation.
        grad_first = assemble(
            parts,
            [
                part.perturbation.project_backward(
                    part.take(grad_y), z, part.take(first), part.state, result.grad_z
                )
                for part in parts
            ],
        )  # [G, c, D]
        # [G, 4 c_out, c_in] each; [G, 4 c_out] each
        grad_weights, grad_biases = decoder_tree.without_bias([grad.mT for grad in grad_layers])
        result.pairwise += sums.pairwise
        result.store(group, sums.distances, sums.weak, grad_first, *grad_weights, *grad_biases)

    def _compute_chunks(
        self, y: Tensor, layers: list[Tensor], group: Group
    ) -> tuple['_Sums', Tensor, list[Tensor]]:
        """Return the losses of a group and their gradients with respect to y and the layers.

        Shape:
            - y and its gradient: [G, B, c, h, w]
            - layers: [G, 4 c_out + 4, c_in + 1] each, the last [G, 4 C, c_in + 1]
            - gradients of the layers: as the layers, transposed
        """
        last_relu = self.bank.last_relu
        decoders, batch = y.shape[:2]
        # The images are the first axis in memory, as the products of step 5 want it.
        grad_y = y.new_empty(batch, decoders, *y.shape[2:]).transpose(0, 1)  # [G, B, c, h, w]
        grad_layers = [torch.zeros_like(layer.mT) for layer in layers]  # as layers, transposed
        sums = _Sums(*y.new_zeros(2, decoders), y.new_zeros(()))  # [G], [G], []
        for chunk in self.chunks:
            part = chunk.crop(y)  # [G, c, b, rows, columns]
            # [G, c_i + 1, 4^i P] each for i < n, the last [G, C, 4^n P]
            maps = decoder_tree.forward(decoder_tree.with_ones(part), layers, last_relu)
            grad = self._losses(maps[-1], chunk, group, sums)  # [G, C, 4^n P]
            # [G, c + 1, P]
            grad = decoder_tree.backward(grad, maps, layers, last_relu, grad_layers)
            chunk.crop(grad_y).copy_(grad[:, :-1].view(part.shape))
        return sums, grad_y, grad_layers

    def _losses(self, logits: Tensor, chunk: Chunk, group: Group, sums: '_Sums') -> Tensor:
        """Add a chunk's losses to the sums and return the gradient of its logits.

        Shape:
            - logits, output: [G, C, 4^n P]
        """
        terms = self.terms
        # [G], [G, C, 4^n P]
        value, grad = terms.consistency.distance.with_gradient(
            chunk.prob, logits, chunk.position_weight
        )
        sums.distances += value
        if terms.consistency_weight == 0:
            grad.zero_()
        if group.share is not None:
            # [], [G, C, 4^n P]
            value, more = terms.pairwise.with_gradient(logits, chunk.position_weight, group.share)
            sums.pairwise += value
            grad.add_(more, alpha=terms.pairwise.weight / self.unit)
        if chunk.labels is not None:
            # [G], [G, C, 4^n P]
            value, more = weak_cross_entropy_with_gradient(
                logits, chunk.labels, chunk.weak_position_weight
            )
            sums.weak += value
            grad.add_(more, alpha=terms.weak_weight / len(self.bank) / self.unit)
        return grad


@dataclass
class _Sums:
    """The losses of one group of decoders, to which every chunk adds its part."""

    distances: Tensor  # d(y^u, y_a^k), [G]
    weak: Tensor  # cross-entropies with the pseudo-labels, [G]
    pairwise: Tensor  # L_P-Wise, []


class _Result:
    """The losses of all decoders, and the gradients as multiples of ``_Computation.unit``.

    Args:
        count: Number of decoders K.
        grad_z: The gradient of z, zero at first, to which every group adds its part.

    Attributes:
        pairwise: L_P-Wise, [].
        of_decoders: Distances and weak losses, [K] each, then the gradients of first layers,
            weights and biases, each shaped as in the bank.

    Shape:
        - grad_z: [B, D, h, w]
    """

    def __init__(self, count: int, grad_z: Tensor) -> None:
        self.count = count
        self.grad_z = grad_z
        self.pairwise = grad_z.new_zeros(())
        self.of_decoders: list[Tensor] = []

    def store(self, group: Group, *of_group: Tensor) -> None:
        """Put the values of a group, [G, ...] each, where they belong."""
        if len(group.decoders) == self.count:
            self.of_decoders = list(of_group)
            return
        if not self.of_decoders:
            self.of_decoders = [own.new_empty(self.count, *own.shape[1:]) for own in of_group]
        for of_all, own in zip(self.of_decoders, of_group, strict=True):
            group.put(of_all, own)
