"""L_u of all K decoders as one computation: value and gradient together, in chunks of positions.

The same mathematics as ``consistency_reference.py``, to rounding. It rests on three facts:

- A decoder is a tree over each position of z (``decoder_tree.py``), so a chunk of positions goes
  from the first layer's output to the loss and back on its own, in memory of the chunk's size.
- The losses are sums over pixels, so each chunk's gradient is known with its value.
- The first layer is linear, so every perturbation acts on its few output channels
  (``Perturbation.project``), and z is never copied once a decoder.

It knows no perturbation by name.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from cct_mm.models.losses import weak_cross_entropy_with_gradient, weak_position_weight

from . import decoder_tree
from .auxiliary_bank import AuxiliaryBank
from .perturbations import Context
from .perturbations.base import conv1x1
from .unsupervised import Target, UnsupervisedLoss, UnsupervisedTerms

GROUP_SIZE = 8
"""Decoders computed side by side: efficient products, in memory that K does not enter."""

CHUNK_ELEMENTS = {'cpu': 2**18, 'cuda': 2**23}
"""Numbers in the logits of one chunk: they fit a core's cache on a CPU; 32 MiB a map on a GPU."""


def default_chunk_elements(device: torch.device) -> int:
    """Return :data:`CHUNK_ELEMENTS`, on a CPU for each of its threads, of which 8 count at most."""
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
        z: The encoder's output for the unlabeled images, [B, D, h, w], float32.
        target: The main head's prediction for them.
        terms: The terms of the loss and their weights.
        chunk_elements: Numbers in the logits of one chunk; changes speed, never the result.
    """
    elements = chunk_elements or default_chunk_elements(z.device)
    setting = _Setting(bank, target, terms, elements)
    total, distances, pairwise, weak = _Fused.apply(z, setting, *bank.weights, *bank.biases)
    return UnsupervisedLoss(
        total,
        distances,
        pairwise if terms.pairwise else None,
        weak if target.pseudo_labels is not None else None,
    )


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
        ctx.save_for_backward(*computation.gradients())
        ctx.unit = computation.unit
        distances, pairwise, weak = computation.values()
        terms = setting.terms
        total = terms.consistency_weight * distances.mean()
        if terms.pairwise:
            total = total + terms.pairwise.weight * pairwise
        if setting.target.pseudo_labels is not None:
            total = total + terms.weak_weight * weak
        ctx.mark_non_differentiable(distances, pairwise, weak)
        return total, distances, pairwise, weak

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_total: Tensor, *_):
        factor = ctx.unit * grad_total
        grad_z, *grad_parameters = (grad * factor for grad in ctx.saved_tensors)
        return grad_z, None, *grad_parameters


@dataclass
class _Chunk:
    """A rectangle of positions of one image, with what the losses need of it in tree order.

    Args:
        image: Index of the image.
        rows: Of z.
        columns: Of z.
        prob: y^u, [C, 4^n P].
        weight: Of each pixel in the distance, [4^n P].
        valid: False on padding, [4^n P].
        labels: Pseudo-labels, [4^n P], or None.
        label_weight: Of each pixel in L_w, or None.
    """

    image: int
    rows: slice
    columns: slice
    prob: Tensor
    weight: Tensor
    valid: Tensor
    labels: Tensor | None = None
    label_weight: Tensor | None = None

    def of(self, maps: Tensor) -> Tensor:
        """View this part of maps: [..., c, rows, columns] of [..., B, c, h, w]."""
        return maps[..., self.image, :, self.rows, self.columns]


class _Computation:
    """One step's values and gradients.

    Whatever belongs to a decoder is kept in a list by decoder until all are done: indexing a tensor
    by a list of decoders would make a GPU wait.
    """

    def __init__(self, z: Tensor, setting: _Setting) -> None:
        self.z, self.bank, self.target = z, setting.bank, setting.target
        self.terms, self.chunk_elements = setting.terms, setting.chunk_elements
        bank, count = self.bank, len(self.bank)
        # Gradients are kept in units of L_u's share per decoder, which saves a pass over the maps.
        self.unit = self.terms.consistency_weight / count or 1.0
        self.guidance = self.target.guidance(z.shape[2:])
        self.grad_z = torch.zeros_like(z, memory_format=torch.contiguous_format)
        self.grad_weights = [[None] * count for _ in bank.weights]
        self.grad_biases = [[None] * count for _ in bank.biases]
        self.distances, self.weak = [None] * count, [None] * count
        self.pairwise = z.new_zeros(())
        self.chunks = list(self._chunks())
        for group, pairwise in self._groups():
            self._compute(group, pairwise)

    def gradients(self) -> list[Tensor]:
        """Return those of z, of the weights and of the biases, in units of ``unit``."""
        return [self.grad_z, *map(torch.stack, self.grad_weights + self.grad_biases)]

    def values(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the distances [K], L_P-Wise and L_w."""
        return torch.stack(self.distances), self.pairwise, torch.stack(self.weak).mean()

    def _groups(self) -> Iterator[tuple[list[int], bool]]:
        """Yield groups of decoders; the compared ones (Eq. 10) form one of their own."""
        compared = self.terms.compared(self.bank, self.target)
        if compared:
            yield compared, True
        rest = [k for k in range(len(self.bank)) if k not in compared]
        for start in range(0, len(rest), GROUP_SIZE):
            yield rest[start : start + GROUP_SIZE], False

    def _chunks(self) -> Iterator[_Chunk]:
        """Cut the images up, with all that is per pixel in tree order, once for all decoders."""
        target, dtype = self.target, self.z.dtype
        weight = self.terms.consistency.position_weight(target.prob, target.valid).to(dtype)
        maps = {'weight': weight, 'valid': target.valid[:, 0]}
        if target.pseudo_labels is not None:
            maps['labels'] = target.pseudo_labels
            maps['label_weight'] = weak_position_weight(target.pseudo_labels, target.valid, dtype)
        stride, doublings = self.bank.stride, len(self.bank.biases)
        for image, rows, columns in self._rectangles():
            pixels = (
                image,
                slice(rows.start * stride, rows.stop * stride),
                slice(columns.start * stride, columns.stop * stride),
            )
            trees = {
                name: decoder_tree.to_tree(x[pixels][None], doublings)[0]
                for name, x in maps.items()
            }
            of_classes = (pixels[0], slice(None), *pixels[1:])
            prob = decoder_tree.to_tree(target.prob[of_classes], doublings)
            yield _Chunk(image, rows, columns, prob, **trees)

    def _rectangles(self) -> Iterator[tuple[int, slice, slice]]:
        """Yield image, rows and columns of each chunk: several rows, or a part of one."""
        images, _, height, width = self.z.shape
        elements = self.bank.num_classes * self.bank.stride**2 * GROUP_SIZE  # of a position
        positions = max(1, self.chunk_elements // elements)
        parts = -(-width // positions)
        rows, columns = max(1, positions // width), -(-width // parts)
        for image in range(images):
            for y in range(0, height, rows):
                for x in range(0, width, columns):
                    yield image, slice(y, min(y + rows, height)), slice(x, min(x + columns, width))

    def _compute(self, group: list[int], pairwise: bool) -> None:
        """Compute some decoders: project z, go through the chunks, pull the gradient back to z."""
        bank, z = self.bank, self.z
        first, *weights = [torch.stack([w[k] for k in group]) for w in bank.weights]
        biases = [torch.stack([b[k] for k in group]) for b in bank.biases]
        layers = decoder_tree.with_bias(weights, biases)
        perturbations = [bank.perturbations[k] for k in group]
        states = [
            p.draw(self._context(k, first[i], [layer[i : i + 1] for layer in layers]))
            for i, (k, p) in enumerate(zip(group, perturbations, strict=True))
        ]
        y = torch.stack(
            [
                p.project(z, first[i], state)
                for i, (p, state) in enumerate(zip(perturbations, states, strict=True))
            ]
        )
        grad_y = torch.empty_like(y)
        grad_layers = [torch.zeros_like(layer) for layer in layers]
        distances, weak = z.new_zeros(2, len(group))
        for chunk in self.chunks:
            part = chunk.of(y)
            maps = decoder_tree.forward(
                decoder_tree.with_ones(part.flatten(2)), layers, bank.last_relu
            )
            grad = self._losses(maps[-1], chunk, pairwise, distances, weak)
            grad = decoder_tree.backward(grad, maps, layers, bank.last_relu, grad_layers)
            chunk.of(grad_y).copy_(grad[:, :-1].view(part.shape))
        grad_weights, grad_biases = decoder_tree.without_bias(grad_layers)
        for i, (k, perturbation) in enumerate(zip(group, perturbations, strict=True)):
            grad_first = perturbation.project_backward(
                grad_y[i], z, first[i], states[i], self.grad_z
            )
            self.distances[k], self.weak[k] = distances[i], weak[i]
            self.grad_weights[0][k] = grad_first
            for layer in range(len(biases)):
                self.grad_weights[layer + 1][k] = grad_weights[layer][i]
                self.grad_biases[layer][k] = grad_biases[layer][i]

    def _losses(
        self, logits: Tensor, chunk: _Chunk, pairwise: bool, distances: Tensor, weak: Tensor
    ) -> Tensor:
        """Add a chunk's part to the values and return the gradient of its logits, both [G, C, P].

        Args:
            logits: Of a group of decoders.
            chunk: Where they are.
            pairwise: Whether these are the decoders that Eq. 10 compares.
            distances: Where the distances are added, [G].
            weak: Where the cross-entropies with the pseudo-labels are added, [G].
        """
        terms = self.terms
        value, grad = terms.consistency.distance.with_gradient(chunk.prob, logits, chunk.weight)
        distances += value
        if not terms.consistency_weight:
            grad.zero_()
        if pairwise:
            value, more = terms.pairwise.with_gradient(logits, chunk.weight)
            self.pairwise += value
            grad.add_(more, alpha=terms.pairwise.weight / self.unit)
        if chunk.labels is not None:
            value, more = weak_cross_entropy_with_gradient(logits, chunk.labels, chunk.label_weight)
            weak += value
            grad.add_(more, alpha=terms.weak_weight / len(self.bank) / self.unit)
        return grad

    def _context(self, k: int, first: Tensor, layers: list[Tensor]) -> Context:
        """Return what the perturbation of decoder k may look at."""

        def kl_gradient(u: Tensor, at_zero: bool) -> Tensor:
            y, result = conv1x1(self.z, first), torch.empty_like(u)
            for chunk in self.chunks:
                part = chunk.of(u)
                grad = self._kl_gradient(
                    chunk.of(y).flatten(1), part.flatten(1), at_zero, chunk.valid, layers
                )
                chunk.of(result).copy_(grad.view(part.shape))
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
        self, y: Tensor, u: Tensor, at_zero: bool, valid: Tensor, layers: list[Tensor]
    ) -> Tensor:
        """Return the KL's gradient (see ``Context``) on a chunk: [c, P], like y and u."""
        y, u = y[None], u[None]
        last_relu = self.bank.last_relu
        maps = decoder_tree.forward(decoder_tree.with_ones(y), layers, last_relu)
        prob = maps[-1].softmax(dim=1)
        if at_zero:
            # (diag(p) - p p^T) J u
            u = F.pad(u, (0, 0, 0, 1))
            grad = decoder_tree.tangent(u, maps, layers, last_relu)
            grad = prob * (grad - (prob * grad).sum(dim=1, keepdim=True))
        else:
            maps = decoder_tree.forward(decoder_tree.with_ones(y + u), layers, last_relu)
            grad = maps[-1].softmax(dim=1) - prob
        return decoder_tree.backward(grad * valid, maps, layers, last_relu)[0, :-1]
