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
five steps of the method; the fourth is ``decoder_pass.py``.

The shapes beside the tensors use these letters: B images, K decoders, G of them in a group, D
channels and h x w positions of z, c channels after the first layer, n sub-pixel layers, C classes,
and P positions in a chunk, which have 4^n P pixels. ``each`` stands beside a list of tensors.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from cct_mm.models.transfer import send

from .auxiliary_bank import AuxiliaryBank
from .chunks import Chunk
from .decoder_pass import DecoderPass, Objective, TritonPass
from .parts import Drawing, assemble
from .perturbations import Guidance
from .perturbations.numbers import StepKey
from .plan import Group, Plan, groups_of, plan_for, triton_plan
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
    weights, biases = bank.stacked()
    total, distances, pairwise, weak = _Fused.apply(z, computation, *weights, *biases)
    return UnsupervisedLoss(total, distances, pairwise, weak)


def consistency_triton(
    bank: AuxiliaryBank,
    z: Tensor,
    target: Target,
    terms: UnsupervisedTerms,
    precision: str = 'ieee',
) -> UnsupervisedLoss:
    """Compute the same with Triton kernels on a GPU, or without them, saying why once.

    Args:
        bank: As for :func:`consistency_fused`.
        z: Likewise.
        target: Likewise.
        terms: Likewise.
        precision: See ``Plan.precision``.
    """
    plan = triton_plan(bank, z, precision, terms.consistency.name)
    return consistency_fused(bank, z, target, terms, plan)


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
        ctx.unit = computation.objective.unit
        terms, pairwise = computation.objective.terms, None
        total = terms.consistency_weight * distances.mean()  # []
        if terms.pairwise:
            pairwise = result.pairwise  # []
            total = total + terms.pairwise.weight * pairwise
        if weak is not None:
            weak = weak.mean()  # []
            total = total + terms.weak_weight * weak
        ctx.set_materialize_grads(False)
        monitored = distances, pairwise, weak
        ctx.mark_non_differentiable(*(value for value in monitored if value is not None))
        return total, *monitored

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_total: Tensor, *_):
        if grad_total is None:  # only the monitored values were used
            return (None,) * len(ctx.needs_input_grad)
        # [B, D, h, w], then a gradient for each parameter
        grad_z, *grad_parameters = torch._foreach_mul(ctx.saved_tensors, ctx.unit * grad_total)
        return grad_z, None, *grad_parameters


@dataclass
class _Computation:
    """The values and gradients of one training step; :meth:`run` computes them.

    Args:
        bank: The auxiliary decoders.
        objective: What they are measured by.
        plan: How much is computed at once.
        guidance: What the guided perturbations know of the batch.
        key: On what the random numbers depend.
        groups: The decoders that are computed side by side, one group after another.
        chunks: The parts of the batch, computed one after another; empty with Triton.
    """

    bank: AuxiliaryBank
    objective: Objective
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
        key = StepKey(*key)
        if plan.precision is not None:
            from .triton.philox import generate

            key = replace(key, generate=generate)
        groups = groups_of(len(bank), compared, index, marks, plan, z.dtype)
        objective = Objective(target, terms, len(bank), *terms.position_weights(target, z.dtype))
        chunks = []
        if plan.precision is None:
            largest = max(len(group.index) for group in groups)
            by_position = bank.num_classes * bank.stride**2 * largest
            chunks = objective.chunks(len(bank.biases), plan.chunk_elements // by_position)
        guidance = target.guidance(z.shape[2:])
        return cls(bank, objective, plan, guidance, key, groups, chunks)

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
        (first, *weights), biases = (map(group.take, stack) for stack in self.bank.stacked())
        decoders = self._decoders(weights, list(biases))

        # 2. Let the perturbations make their choices.
        drawing = Drawing(
            z,
            first,
            group.index,
            self.guidance,
            self.key,
            self.plan.precision,
            decoders.kl_gradient,
        )
        perturbations = [self.bank.perturbations[k] for k in group.decoders]
        parts = drawing.parts(perturbations, self.plan.copies)

        # 3. Perturb z and apply the first layer.
        own_first = [part.take(first) for part in parts]
        projected = [
            part.perturbation.project(z, weight, part.state)
            for part, weight in zip(parts, own_first, strict=True)
        ]
        y = assemble(parts, projected)  # [G, B, c, h, w]

        # 4. Go from there to the losses and back.
        own = decoders.run(y, group.share)

        # 5. Go back through the first layer and the perturbation.
        grad_first = [
            part.perturbation.project_backward(
                part.take(own.grad_y), z, weight, part.state, result.grad_z
            )
            for part, weight in zip(parts, own_first, strict=True)
        ]
        if own.pairwise is not None:
            result.pairwise = own.pairwise
        # [G, c, D], [G, 4 c_out, c_in] each, [G, 4 c_out] each
        gradients = assemble(parts, grad_first), *own.grad_weights, *own.grad_biases
        result.store(group, own.distances, own.weak, *gradients)

    def _decoders(self, weights: list[Tensor], biases: list[Tensor]) -> DecoderPass | TritonPass:
        """Return what computes a group of decoders from the output of their first layers."""
        own = weights, biases, self.bank.last_relu, self.objective
        if self.plan.precision is None:
            return DecoderPass(*own, self.chunks, self.plan.chunk_elements)
        return TritonPass(*own, self.plan.precision)


class _Result:
    """The losses of all decoders, and the gradients as multiples of ``_Computation.unit``.

    Args:
        count: Number of decoders K.
        grad_z: The gradient of z, zero at first, to which every group adds its part.

    Attributes:
        pairwise: L_P-Wise, [], of the one group that has compared decoders; None without it.
        of_decoders: Distances and weak losses (None without them), [K] each, then the gradients of
            first layers, weights and biases, each shaped as in the bank.

    Shape:
        - grad_z: [B, D, h, w]
    """

    def __init__(self, count: int, grad_z: Tensor) -> None:
        self.count = count
        self.grad_z = grad_z
        self.pairwise: Tensor | None = None
        self.of_decoders: list[Tensor | None] = []

    def store(self, group: Group, *of_group: Tensor | None) -> None:
        """Put the values of a group, [G, ...] each, where they belong."""
        if len(group.decoders) == self.count:
            self.of_decoders = list(of_group)
            return
        if not self.of_decoders:
            self.of_decoders = [
                None if own is None else own.new_empty(self.count, *own.shape[1:])
                for own in of_group
            ]
        for of_all, own in zip(self.of_decoders, of_group, strict=True):
            if own is not None:
                group.put(of_all, own)
