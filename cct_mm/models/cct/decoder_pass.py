"""From the output of the first layers of a group of decoders to the losses, and back.

:class:`DecoderPass` does it in PyTorch, chunk by chunk (``chunks.py``) in the tree of
``decoder_tree.py``. :class:`TritonPass` does the same in a few launches on a GPU (``triton/``).

The shapes use the letters of ``consistency_fused.py``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from cct_mm.models.losses import weak_cross_entropy_with_gradient

from . import decoder_tree
from .chunks import Chunk, cut_into_chunks
from .kl_gradient import KLGradient
from .perturbations.base import conv1x1
from .triton.layout import pack
from .unsupervised import Target, UnsupervisedTerms


@dataclass
class PassResult:
    """The losses of the decoders and the gradients of their weighted sum.

    ``weak`` and ``pairwise`` are None where they are no part of it.

    Shape:
        - distances, weak: [G]
        - pairwise: scalar
        - grad_y: [G, B, c, h, w]
        - grad_weights: [G, 4 c_out, c_in] each
        - grad_biases: [G, 4 c_out] each
    """

    distances: Tensor
    weak: Tensor | None
    pairwise: Tensor | None
    grad_y: Tensor
    grad_weights: list[Tensor]
    grad_biases: list[Tensor]


@dataclass
class Objective:
    """What the decoders of a step are measured by.

    Args:
        target: The predictions that they learn from.
        terms: The terms of the loss and their weights.
        decoders: Number of decoders K.
        position_weight: Weight of each pixel in L_u and L_P-Wise.
        weak_position_weight: Weight of each pixel in L_w, or None without it.

    Shape:
        - position_weight, weak_position_weight: [B, H, W]
    """

    target: Target
    terms: UnsupervisedTerms
    decoders: int
    position_weight: Tensor
    weak_position_weight: Tensor | None

    @cached_property
    def labels(self) -> Tensor:
        """What the distances compare with, [B, C, H, W]: y^u or its most probable class."""
        return self.terms.consistency.labels(self.target.prob)

    @property
    def unit(self) -> float:
        """w_u / K, the weight of one decoder's distance in the total loss.

        Gradients are summed up as multiples of it, and the backward pass multiplies by it at the
        end. So the gradient of a distance needs no scaling, which saves a pass over its map. It is
        1 where w_u is 0.
        """
        return self.terms.consistency_weight / self.decoders or 1.0

    @property
    def distance_factor(self) -> float:
        """Factor of the distances' gradients, in units: 1, or 0 where w_u is 0."""
        return float(self.terms.consistency_weight != 0)

    @property
    def weak_factor(self) -> float:
        """Factor of the weak losses' gradients, in units."""
        return self.terms.weak_weight / self.decoders / self.unit

    @property
    def pairwise_factor(self) -> float:
        """Factor of L_P-Wise's gradient, in units."""
        return self.terms.pairwise.weight / self.unit

    def chunks(self, doublings: int, max_positions: int) -> list[Chunk]:
        """Cut the batch into chunks, see :func:`cut_into_chunks`."""
        maps = {'prob': self.labels, 'position_weight': self.position_weight}
        if self.weak_position_weight is not None:
            maps |= {
                'labels': self.target.pseudo_labels,
                'weak_position_weight': self.weak_position_weight,
            }
        return cut_into_chunks(maps, doublings, max(1, max_positions))


class DecoderPass:
    """A group of decoders, computed in PyTorch.

    Args:
        weights: The weights of their sub-pixel layers.
        biases: Their biases.
        last_relu: See ``subpixel_decode``.
        objective: What they are measured by.
        chunks: Its parts, computed one after another.
        chunk_elements: See ``Plan``.

    Shape:
        - weights: [G, 4 c_out, c_in] each
        - biases: [G, 4 c_out] each
    """

    def __init__(
        self,
        weights: Sequence[Tensor],
        biases: Sequence[Tensor],
        last_relu: bool,
        objective: Objective,
        chunks: Sequence[Chunk],
        chunk_elements: int,
    ) -> None:
        # [G, 4 c_out + 4, c_in + 1] each, the last [G, 4 C, c_in + 1]
        self.layers = decoder_tree.with_bias(weights, biases)
        self.last_relu = last_relu
        self.objective = objective
        self.chunks = chunks
        self.chunk_elements = chunk_elements

    def kl_gradient(self, z: Tensor, first: Tensor, decoders: slice) -> KLGradient:
        """Return ``Context.kl_gradient`` of some decoders of the group.

        Shape:
            - z: [B, D, h, w]
            - first: [g, c, D], of these decoders
        """
        layers = [layer[decoders] for layer in self.layers]
        valid = self.objective.target.valid
        return KLGradient(z, first, layers, self.last_relu, valid, self.chunk_elements)

    def run(self, y: Tensor, share: Tensor | None) -> PassResult:
        """Compute the losses and their gradients.

        Args:
            y: Output of the first layers.
            share: See ``Group.share``.

        Shape:
            - y: [G, B, c, h, w]
            - share: [G]
        """
        decoders, batch = y.shape[:2]
        # The images are the first axis in memory, as the products with z want it.
        grad_y = y.new_empty(batch, decoders, *y.shape[2:]).transpose(0, 1)  # [G, B, c, h, w]
        # [G, c_in + 1, 4 c_out + 4] each, the last [G, c_in + 1, 4 C]
        grad_layers = [layer.new_zeros(layer.mT.shape) for layer in self.layers]
        sums = _Sums(y.new_zeros(decoders))
        for chunk in self.chunks:
            part = chunk.crop(y)  # [G, c, b, rows, columns]
            # [G, c_i + 1, 4^i P] each for i < n, the last [G, C, 4^n P]
            maps = decoder_tree.forward(decoder_tree.with_ones(part), self.layers, self.last_relu)
            grad = self._losses(maps[-1], chunk, share, sums)  # [G, C, 4^n P]
            # [G, c + 1, P]
            grad = decoder_tree.backward(grad, maps, self.layers, self.last_relu, grad_layers)
            chunk.crop(grad_y).copy_(grad[:, :-1].view(part.shape))
        gradients = decoder_tree.without_bias([grad.mT for grad in grad_layers])
        return PassResult(sums.distances, sums.weak, sums.pairwise, grad_y, *gradients)

    def _losses(self, logits: Tensor, chunk: Chunk, share: Tensor | None, sums: '_Sums') -> Tensor:
        """Add a chunk's losses to the sums and return the gradient of its logits.

        Shape:
            - logits, output: [G, C, 4^n P]
        """
        terms, objective = self.objective.terms, self.objective
        # [G], [G, C, 4^n P]
        value, grad = terms.consistency.distance.with_gradient(
            chunk.prob, logits, chunk.position_weight
        )
        sums.distances += value
        if not objective.distance_factor:
            grad.zero_()
        if share is not None:
            # [], [G, C, 4^n P]
            value, more = terms.pairwise.with_gradient(logits, chunk.position_weight, share)
            sums.pairwise = value if sums.pairwise is None else sums.pairwise + value
            grad.add_(more, alpha=objective.pairwise_factor)
        if chunk.labels is not None:
            # [G], [G, C, 4^n P]
            value, more = weak_cross_entropy_with_gradient(
                logits, chunk.labels, chunk.weak_position_weight
            )
            sums.weak = value if sums.weak is None else sums.weak + value
            grad.add_(more, alpha=objective.weak_factor)
        return grad


@dataclass
class _Sums:
    """The losses of one group of decoders, to which every chunk adds its part."""

    distances: Tensor  # d(y^u, y_a^k), [G]
    weak: Tensor | None = None  # cross-entropies with the pseudo-labels, [G]
    pairwise: Tensor | None = None  # L_P-Wise, []


class TritonPass:
    """A group of decoders, computed by Triton kernels; see :class:`DecoderPass`.

    Args:
        weights: As there.
        biases: As there.
        last_relu: As there.
        objective: As there.
        precision: See ``Plan.precision``.
    """

    def __init__(
        self,
        weights: Sequence[Tensor],
        biases: Sequence[Tensor],
        last_relu: bool,
        objective: Objective,
        precision: str,
    ) -> None:
        self.layers = pack(weights, biases)
        self.last_relu = last_relu
        self.objective = objective
        self.precision = precision

    def kl_gradient(
        self, z: Tensor, first: Tensor, decoders: slice
    ) -> Callable[[Tensor, bool], Tensor]:
        """Return ``Context.kl_gradient`` of some decoders of the group."""
        from .triton.kl_gradient import kl_gradient

        layers = self.layers.of(decoders)
        options = self.last_relu, self.objective.target.valid

        def gradient(u: Tensor, at_zero: bool) -> Tensor:
            return kl_gradient(conv1x1(z, first), u, layers, *options, at_zero, self.precision)

        return gradient

    def run(self, y: Tensor, share: Tensor | None) -> PassResult:
        """Compute the losses and their gradients."""
        from .triton.decoder_pass import decoder_pass

        objective, terms = self.objective, self.objective.terms
        return decoder_pass(
            y,
            self.layers,
            self.last_relu,
            objective.labels,
            objective.position_weight,
            distance=terms.consistency.name,
            distance_factor=objective.distance_factor,
            labels=objective.target.pseudo_labels,
            weak_position_weight=objective.weak_position_weight,
            weak_factor=objective.weak_factor,
            share=share,
            pairwise_factor=0.0 if share is None else objective.pairwise_factor,
            precision=self.precision,
        )
