"""L_u of all K auxiliary decoders computed together: values and gradients, chunk by chunk.

The result is that of ``consistency_reference.py``, to rounding. Three facts make it cheaper:

- A decoder computes each position of z on its own (``decoder_tree.py``). So the images are cut into
  chunks of positions (``chunks.py``), and each chunk goes from the output of the decoders' first
  layer to the loss and back before the next one begins. Only one chunk's maps are in memory.
- The losses are sums over pixels, so the gradient of a chunk is known together with its value.
- The first layer is linear, so a perturbation can act on its few output channels
  (``Perturbation.project``) instead of on a copy of z for each decoder.

The code knows no perturbation by name. It is best read in this order: :func:`consistency_fused`,
``_Fused``, ``_Computation.run`` and ``_compute_group``, which has the five steps of the method.

The shapes beside the tensors use these letters: B images, K decoders, G of them in a group, D
channels and h x w positions of z, c channels after the first layer, n sub-pixel layers, C classes,
and P positions in a chunk, which have 4^n P pixels. ``each`` stands beside a list of tensors.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from cct_mm.models.losses import weak_cross_entropy_with_gradient

from . import decoder_tree
from .auxiliary_bank import AuxiliaryBank
from .chunks import Chunk, cut_into_chunks
from .kl_gradient import KLGradient
from .perturbations import Context, Guidance
from .unsupervised import Target, UnsupervisedLoss, UnsupervisedTerms

GROUP_SIZE = 8
"""Decoders computed side by side: enough for efficient matrix products, however many there are."""

CHUNK_ELEMENTS = {'cpu': 2**18, 'cuda': 2**23}
"""Numbers in the logits of one chunk: they fit the cache of a CPU core; 32 MiB a map on a GPU."""


def default_chunk_elements(device: torch.device) -> int:
    """Return :data:`CHUNK_ELEMENTS`; on a CPU, that number for each of at most 8 threads."""
    if device.type == 'cpu':
        return CHUNK_ELEMENTS['cpu'] * min(torch.get_num_threads(), 8)
    return CHUNK_ELEMENTS['cuda']


def consistency_fused(
    bank: AuxiliaryBank,
    z: Tensor,
    target: Target,
    terms: UnsupervisedTerms,
    chunk_elements: int | None = None,
) -> UnsupervisedLoss:
    """Compute L_u and, where the terms ask for them, L_P-Wise and L_w.

    Args:
        bank: The domain's auxiliary decoders.
        z: The encoder's output for the unlabeled images, float32.
        target: The main head's prediction for them.
        terms: The terms of the loss and their weights.
        chunk_elements: Numbers in the logits of one chunk. They change the speed but not the
            result. None means :func:`default_chunk_elements`.

    Shape:
        - z: [B, D, h, w]
    """
    elements = chunk_elements or default_chunk_elements(z.device)
    elements_per_position = bank.num_classes * bank.stride**2 * GROUP_SIZE
    max_positions = max(1, elements // elements_per_position)
    with torch.no_grad():
        weights = terms.position_weights(target, z.dtype)  # [B, H, W] each
        chunks = cut_into_chunks(target, *weights, len(bank.biases), max_positions)
        guidance = target.guidance(z.shape[2:])
    computation = _Computation(bank, target, terms, guidance, chunks)
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
        ctx.save_for_backward(*result.gradients())
        ctx.unit = computation.unit
        distances, pairwise, weak = result.values()  # [K], [], []
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
        factor = ctx.unit * grad_total  # []
        grad_z, *grad_parameters = (grad * factor for grad in ctx.saved_tensors)
        return grad_z, None, *grad_parameters


@dataclass
class _Computation:
    """The values and gradients of one training step; :meth:`run` computes them.

    Args:
        bank: The auxiliary decoders.
        target: The predictions that the decoders learn from.
        terms: The terms of the loss and their weights.
        guidance: What the guided perturbations know of the batch.
        chunks: The parts of the images, computed one after another.
    """

    bank: AuxiliaryBank
    target: Target
    terms: UnsupervisedTerms
    guidance: Guidance
    chunks: list[Chunk]

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
        result = _Result(self.bank, z)
        for group, compared in self._groups():
            self._compute_group(group, compared, z, result)
        return result

    def _groups(self) -> Iterator[tuple[list[int], bool]]:
        """Yield groups of decoders, each with whether Eq. 10 compares its decoders.

        The compared decoders are one group, because each one's gradient needs the predictions of
        the others.
        """
        compared = self.terms.compared(self.bank, self.target)
        if compared:
            yield compared, True
        rest = [k for k in range(len(self.bank)) if k not in compared]
        for start in range(0, len(rest), GROUP_SIZE):
            yield rest[start : start + GROUP_SIZE], False

    def _compute_group(self, group: list[int], compared: bool, z: Tensor, result: '_Result'):
        """Compute the decoders of a group and store their values and gradients in ``result``."""
        bank = self.bank
        perturbations = [bank.perturbations[k] for k in group]

        # 1. Stack the group's parameters.
        # [G, c, D]; [G, 4 c_out, c_in] each; [G, 4 c_out] each
        first, *weights = [torch.stack([weight[k] for k in group]) for weight in bank.weights]
        biases = [torch.stack([bias[k] for k in group]) for bias in bank.biases]
        # [G, 4 c_out + 4, c_in + 1] each, the last [G, 4 C, c_in + 1]
        layers = decoder_tree.with_bias(weights, biases)

        # 2. Let the perturbations make their choices.
        states = [
            perturbation.draw(self._context(k, z, first[i], [layer[i : i + 1] for layer in layers]))
            for i, (k, perturbation) in enumerate(zip(group, perturbations, strict=True))
        ]

        # 3. Perturb z and apply the first layer.
        y = torch.stack(
            [
                perturbation.project(z, first[i], states[i])  # [B, c, h, w]
                for i, perturbation in enumerate(perturbations)
            ]
        )  # [G, B, c, h, w]

        # 4. Go from there to the losses and back, chunk by chunk.
        # [G, B, c, h, w]; as layers
        sums, grad_y, grad_layers = self._compute_chunks(y, layers, compared)

        # 5. Go back through the first layer and the perturbation.
        # [G, 4 c_out, c_in] each; [G, 4 c_out] each
        grad_weights, grad_biases = decoder_tree.without_bias(grad_layers)
        for i, (k, perturbation) in enumerate(zip(group, perturbations, strict=True)):
            grad_first = perturbation.project_backward(
                grad_y[i], z, first[i], states[i], result.grad_z
            )  # [c, D]
            result.distances[k], result.weak[k] = sums.distances[i], sums.weak[i]  # [], []
            result.grad_parameters[k] = [
                grad_first,
                *(grad[i] for grad in [*grad_weights, *grad_biases]),
            ]
        result.pairwise += sums.pairwise

    def _context(self, k: int, z: Tensor, first: Tensor, layers: list[Tensor]) -> Context:
        """Return what the perturbation of decoder k may look at.

        Shape:
            - z: [B, D, h, w]
            - first: [c, D]
            - layers: [1, 4 c_out + 4, c_in + 1] each, the last [1, 4 C, c_in + 1]
        """
        return Context(
            z=z,
            weight=first,
            guidance=self.guidance,
            kl_gradient=KLGradient(z, first, layers, self.bank.last_relu, self.chunks),
            key=(*self.target.key, self.bank.names[k], k),
            samples=self.target.samples,
        )

    def _compute_chunks(
        self, y: Tensor, layers: list[Tensor], compared: bool
    ) -> tuple['_Sums', Tensor, list[Tensor]]:
        """Return the losses of a group and their gradients with respect to y and the layers.

        Shape:
            - y and its gradient: [G, B, c, h, w]
            - layers and their gradients: [G, 4 c_out + 4, c_in + 1] each, the last
              [G, 4 C, c_in + 1]
        """
        last_relu = self.bank.last_relu
        grad_y = torch.empty_like(y)  # [G, B, c, h, w]
        grad_layers = [torch.zeros_like(layer) for layer in layers]  # as layers
        sums = _Sums(*y.new_zeros(2, len(y)), y.new_zeros(()))  # [G], [G], []
        for chunk in self.chunks:
            part = chunk.crop(y)  # [G, c, rows, columns]
            with_ones = decoder_tree.with_ones(part.flatten(2))  # [G, c + 1, P]
            # [G, c_i + 1, 4^i P] each for i < n, the last [G, C, 4^n P]
            maps = decoder_tree.forward(with_ones, layers, last_relu)
            grad = self._losses(maps[-1], chunk, compared, sums)  # [G, C, 4^n P]
            # [G, c + 1, P]
            grad = decoder_tree.backward(grad, maps, layers, last_relu, grad_layers)
            chunk.crop(grad_y).copy_(grad[:, :-1].view(part.shape))
        return sums, grad_y, grad_layers

    def _losses(self, logits: Tensor, chunk: Chunk, compared: bool, sums: '_Sums') -> Tensor:
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
        if not terms.consistency_weight:
            grad.zero_()
        if compared:
            # [], [G, C, 4^n P]
            value, more = terms.pairwise.with_gradient(logits, chunk.position_weight)
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

    What belongs to a decoder is kept in a list by decoder and stacked at the end, because writing
    to a tensor by a list of indices would make a GPU wait for the CPU.
    """

    def __init__(self, bank: AuxiliaryBank, z: Tensor) -> None:
        self.distances: list[Tensor] = [None] * len(bank)  # [] each
        self.weak: list[Tensor] = [None] * len(bank)  # [] each
        self.pairwise = z.new_zeros(())  # []
        self.grad_z = torch.zeros_like(z, memory_format=torch.contiguous_format)  # [B, D, h, w]
        # For each decoder its first layer, then weights and biases of its sub-pixel layers.
        self.grad_parameters: list[list[Tensor]] = [None] * len(bank)

    def values(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the distances [K], L_P-Wise [] and L_w []."""
        return torch.stack(self.distances), self.pairwise, torch.stack(self.weak).mean()

    def gradients(self) -> list[Tensor]:
        """Return the gradients of z, the bank's weights and its biases, each of its shape."""
        return [self.grad_z, *map(torch.stack, zip(*self.grad_parameters, strict=True))]
