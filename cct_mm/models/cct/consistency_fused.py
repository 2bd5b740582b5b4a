"""L_u of all K decoders as one computation: value and gradient together, chunk by chunk.

It computes what ``consistency_reference.py`` computes, to rounding. It rests on three facts:

- A decoder is a tree over each position of z (``decoder_tree.py``), so a chunk of positions
  (``chunks.py``) goes from the output of the first layer to the loss and back on its own, in memory
  of the chunk's size.
- The losses are sums over pixels, so the gradient of a chunk is known together with its value.
- The first layer is linear, so every perturbation acts on its few output channels
  (``Perturbation.project``), and z is never copied for a decoder.

It knows no perturbation by name.

The shapes beside the tensors use these letters: B images, K decoders, G of them in a group, D
channels and h x w positions of z, c channels behind the first layer, n sub-pixel layers, C classes,
and P positions in a chunk, which have 4^n P pixels. ``each`` stands beside a list of tensors.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from cct_mm.models.losses import weak_cross_entropy_with_gradient, weak_position_weight

from . import decoder_tree
from .auxiliary_bank import AuxiliaryBank
from .chunks import Chunk, cut_into_chunks
from .kl_gradient import KLGradient
from .perturbations import Context, Guidance
from .unsupervised import Target, UnsupervisedLoss, UnsupervisedTerms

GROUP_SIZE = 8
"""Decoders computed side by side: enough for efficient products, and memory that K does not set."""

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
    """Compute L_u, with L_P-Wise and L_w where wanted.

    Args:
        bank: The domain's auxiliary decoders.
        z: The encoder's output for the unlabeled images, float32.
        target: The main head's prediction for them.
        terms: The terms of the loss and their weights.
        chunk_elements: Numbers in the logits of one chunk, which change the speed and never the
            result; None takes :func:`default_chunk_elements`.

    Shape:
        - z: [B, D, h, w]
    """
    with torch.no_grad():
        elements = chunk_elements or default_chunk_elements(z.device)
        chunks = _chunks(bank, target, terms, z.dtype, elements)
        guidance = target.guidance(z.shape[2:])
    computation = _Computation(bank, target, terms, guidance, chunks)
    total, distances, pairwise, weak = _Fused.apply(z, computation, *bank.weights, *bank.biases)
    return UnsupervisedLoss(
        total,
        distances,
        pairwise if terms.pairwise else None,
        weak if target.pseudo_labels is not None else None,
    )


def _chunks(
    bank: AuxiliaryBank,
    target: Target,
    terms: UnsupervisedTerms,
    dtype: torch.dtype,
    chunk_elements: int,
) -> list[Chunk]:
    """Give each pixel its weight in the losses, in z's dtype, and cut the images into chunks."""
    weight = terms.consistency.position_weight(target.prob, target.valid).to(dtype)  # [B, H, W]
    label_weight = None
    if target.pseudo_labels is not None:
        # [B, H, W]
        label_weight = weak_position_weight(target.pseudo_labels, target.valid, dtype)
    elements_per_position = bank.num_classes * bank.stride**2 * GROUP_SIZE
    positions = max(1, chunk_elements // elements_per_position)
    return cut_into_chunks(target, weight, label_weight, len(bank.biases), positions)


class _Fused(torch.autograd.Function):
    """The step from z and the decoders' weights to the loss, which computes its gradients with it.

    The weights are arguments so that autograd asks for their gradients; the computation reads them
    in its bank.
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
    """One step's values and gradients: :meth:`run` takes group after group, each chunk by chunk.

    Args:
        bank: The auxiliary decoders.
        target: What they are held to.
        terms: The terms of the loss and their weights.
        guidance: The main head's view of the batch, for the perturbations.
        chunks: The parts of the images.
    """

    bank: AuxiliaryBank
    target: Target
    terms: UnsupervisedTerms
    guidance: Guidance
    chunks: list[Chunk]

    @property
    def unit(self) -> float:
        """The weight of one decoder in L_u, in units of which the gradients are kept.

        The gradient of a distance then needs no scaling, which saves a pass over the maps.
        """
        return self.terms.consistency_weight / len(self.bank) or 1.0

    def run(self, z: Tensor) -> '_Result':
        """Compute the values of the losses and their gradients for z, [B, D, h, w]."""
        result = _Result(self.bank, z)
        for group, pairwise in self._groups():
            self._compute(group, pairwise, z, result)
        return result

    def _groups(self) -> Iterator[tuple[list[int], bool]]:
        """Yield groups of decoders, and whether they are the ones that Eq. 10 compares.

        The compared ones form a group of their own, since each needs the others' predictions.
        """
        compared = self.terms.compared(self.bank, self.target)
        if compared:
            yield compared, True
        rest = [k for k in range(len(self.bank)) if k not in compared]
        for start in range(0, len(rest), GROUP_SIZE):
            yield rest[start : start + GROUP_SIZE], False

    def _compute(self, group: list[int], pairwise: bool, z: Tensor, result: '_Result') -> None:
        """Compute a group: project z, go through the chunks, pull the gradient back to z."""
        bank = self.bank
        perturbations = [bank.perturbations[k] for k in group]
        # [G, c, D]; [G, 4 c_out, c_in] each; [G, 4 c_out] each
        first, *weights = [torch.stack([weight[k] for k in group]) for weight in bank.weights]
        biases = [torch.stack([bias[k] for k in group]) for bias in bank.biases]
        # [G, 4 c_out + 4, c_in + 1] each, the last [G, 4 C, c_in + 1]
        layers = decoder_tree.with_bias(weights, biases)
        states = [
            perturbation.draw(self._context(k, z, first[i], [layer[i : i + 1] for layer in layers]))
            for i, (k, perturbation) in enumerate(zip(group, perturbations, strict=True))
        ]
        y = torch.stack(
            [
                perturbation.project(z, first[i], states[i])  # [B, c, h, w]
                for i, perturbation in enumerate(perturbations)
            ]
        )  # [G, B, c, h, w]

        grad_y = torch.empty_like(y)  # [G, B, c, h, w]
        grad_layers = [torch.zeros_like(layer) for layer in layers]  # as layers
        sums = _Sums(*z.new_zeros(2, len(group)), z.new_zeros(()))  # [G], [G], []
        for chunk in self.chunks:
            part = chunk.of(y)  # [G, c, rows, columns]
            with_ones = decoder_tree.with_ones(part.flatten(2))  # [G, c + 1, P]
            # [G, c_i + 1, 4^i P] each for i < n, the last [G, C, 4^n P]
            maps = decoder_tree.forward(with_ones, layers, bank.last_relu)
            grad = self._losses(maps[-1], chunk, pairwise, sums)  # [G, C, 4^n P]
            # [G, c + 1, P]
            grad = decoder_tree.backward(grad, maps, layers, bank.last_relu, grad_layers)
            chunk.of(grad_y).copy_(grad[:, :-1].view(part.shape))

        # [G, 4 c_out, c_in] each; [G, 4 c_out] each
        grad_weights, grad_biases = decoder_tree.without_bias(grad_layers)
        for i, (k, perturbation) in enumerate(zip(group, perturbations, strict=True)):
            # [c, D]
            grad_first = perturbation.project_backward(
                grad_y[i], z, first[i], states[i], result.grad_z
            )
            result.distances[k], result.weak[k] = sums.distances[i], sums.weak[i]
            result.grad_weights[k] = [grad_first, *(grad[i] for grad in grad_weights)]
            result.grad_biases[k] = [grad[i] for grad in grad_biases]
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

    def _losses(self, logits: Tensor, chunk: Chunk, pairwise: bool, sums: '_Sums') -> Tensor:
        """Add a chunk's part to the sums and return the gradient of its logits.

        Args:
            logits: Of a group of decoders.
            chunk: Where they are.
            pairwise: Whether these are the decoders that Eq. 10 compares.
            sums: The values of the chunks before.

        Shape:
            - logits, output: [G, C, 4^n P]
        """
        terms = self.terms
        # [G], [G, C, 4^n P]
        value, grad = terms.consistency.distance.with_gradient(chunk.prob, logits, chunk.weight)
        sums.distances += value
        if not terms.consistency_weight:
            grad.zero_()
        if pairwise:
            value, more = terms.pairwise.with_gradient(logits, chunk.weight)  # [], [G, C, 4^n P]
            sums.pairwise += value
            grad.add_(more, alpha=terms.pairwise.weight / self.unit)
        if chunk.labels is not None:
            # [G], [G, C, 4^n P]
            value, more = weak_cross_entropy_with_gradient(logits, chunk.labels, chunk.label_weight)
            sums.weak += value
            grad.add_(more, alpha=terms.weak_weight / len(self.bank) / self.unit)
        return grad


@dataclass
class _Sums:
    """The values of one group of decoders, to which every chunk adds its part.

    Args:
        distances: d(y^u, y_a^k), [G].
        weak: Cross-entropies with the pseudo-labels, [G].
        pairwise: L_P-Wise, [].
    """

    distances: Tensor
    weak: Tensor
    pairwise: Tensor


class _Result:
    """The values of all decoders, and the gradients in units of ``_Computation.unit``.

    Whatever belongs to a decoder is kept in a list by decoder until all are done: indexing a tensor
    by a list of decoders would make a GPU wait.
    """

    def __init__(self, bank: AuxiliaryBank, z: Tensor) -> None:
        count = len(bank)
        self.distances, self.weak = [None] * count, [None] * count  # [] each
        self.pairwise = z.new_zeros(())  # []
        self.grad_z = torch.zeros_like(z, memory_format=torch.contiguous_format)  # [B, D, h, w]
        # For each decoder a list by layer, in the shapes of AuxiliaryBank.decoder.
        self.grad_weights, self.grad_biases = [None] * count, [None] * count

    def values(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the distances [K], L_P-Wise [] and L_w []."""
        return torch.stack(self.distances), self.pairwise, torch.stack(self.weak).mean()

    def gradients(self) -> list[Tensor]:
        """Return those of z and of the bank's weights and biases, each of its tensor's shape."""
        by_layer = [*zip(*self.grad_weights, strict=True), *zip(*self.grad_biases, strict=True)]
        return [self.grad_z, *map(torch.stack, by_layer)]
