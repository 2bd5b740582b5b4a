"""The K auxiliary decoders g_a^k of one domain, with their perturbations."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from cct_mm.models.subpixel_head import (
    init_subpixel_,
    num_doublings,
    subpixel_decode,
    subpixel_shapes,
)

from .perturbations import PERTURBATIONS, Perturbation
from .perturbations.base import conv1x1


class AuxiliaryBank(BaseModule):
    """K decoders in stacked weights: one tensor a layer, whose first axis is the decoder.

    Args:
        perturbations: One entry a kind: ``dict(type='F-Noise', num=6, range=0.3)``, where ``num``
            is how many decoders it gets and the rest are the perturbation's own arguments.
        in_channels: Channels D of z.
        num_classes: Number of classes C.
        stride: Input pixels per position of z, a power of two.
        channels: Hidden width of the decoders; None means C, as in the paper.
        last_relu: See ``subpixel_decode``.

    Attributes:
        perturbations: The :class:`Perturbation` of each of the K decoders.
        names: The paper's name of each.

    Raises:
        ValueError: For an unknown perturbation, a count below 1, wrong arguments, an empty list, or
            a stride that is not a power of two.
    """

    def __init__(
        self,
        perturbations: Sequence[dict],
        in_channels: int,
        num_classes: int,
        stride: int = 8,
        channels: int | None = None,
        last_relu: bool = False,
    ) -> None:
        super().__init__()
        self.names: list[str] = []
        self.perturbations: list[Perturbation] = []
        for entry in perturbations:
            name, count, perturbation = build_perturbation(entry)
            self.names += [name] * count
            self.perturbations += [perturbation] * count
        if not self.names:
            raise ValueError(
                'AuxiliaryBank: `perturbations` is empty, expected at least one entry such as '
                "dict(type='F-Noise', num=6); for training without auxiliary decoders use the "
                "segmentor type 'SupervisedSegmentor'"
            )
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.stride = stride
        self.last_relu = last_relu
        doublings = num_doublings(stride, 'AuxiliaryBank')
        shapes = subpixel_shapes(in_channels, channels or num_classes, num_classes, doublings)
        self.weights = nn.ParameterList(torch.empty(len(self), *shape) for shape in shapes)
        self.biases = nn.ParameterList(torch.empty(len(self), shape[0]) for shape in shapes[1:])
        for k in range(len(self)):
            init_subpixel_([w[k] for w in self.weights], [b[k] for b in self.biases])

    def __len__(self) -> int:
        """Return K."""
        return len(self.names)

    def init_weights(self) -> None:
        """Do nothing: the weights were drawn in the constructor."""

    @property
    def guided(self) -> list[str]:
        """Names of the perturbations that need to know what is foreground."""
        pairs = zip(self.names, self.perturbations, strict=True)
        return sorted({name for name, perturbation in pairs if perturbation.guided})

    def decoder(self, k: int) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Return decoder k: first layer [c, D], weights and biases of its sub-pixel layers."""
        first, *weights = [weight[k] for weight in self.weights]
        return first, weights, [bias[k] for bias in self.biases]

    def decode(self, k: int, z: Tensor) -> Tensor:
        """Return the logits of decoder k for its perturbed input.

        Shape:
            - z: [B, D, h, w]
            - output: [B, C, h stride, w stride]
        """
        first, weights, biases = self.decoder(k)
        return subpixel_decode(conv1x1(z, first), weights, biases, self.last_relu)


def build_perturbation(entry: dict) -> tuple[str, int, Perturbation]:
    """Build one entry of ``perturbations``: its name, number of decoders and the object."""
    arguments = dict(entry)
    name = arguments.pop('type', None)
    count = arguments.pop('num', 1)
    cls = PERTURBATIONS.module_dict.get(name)
    if cls is None:
        raise ValueError(
            f'AuxiliaryBank: unknown perturbation {name!r} in {entry}, expected one of '
            f'{", ".join(PERTURBATIONS.module_dict)}; one of your own has to be registered in '
            'cct_mm.models.cct.perturbations.PERTURBATIONS and imported by custom_imports'
        )
    if not isinstance(count, int) or count < 1:
        raise ValueError(
            f'AuxiliaryBank: num is {count!r} for {name}, expected the number of its decoders, '
            '>= 1; leave the entry out to do without it'
        )
    try:
        return name, count, cls(**arguments)
    except TypeError as error:
        raise ValueError(f'AuxiliaryBank: wrong argument for {name} in {entry}: {error}') from error
