"""The K auxiliary decoders g_a^k of one domain, with their perturbations."""

import warnings
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
    """K decoders in stacked weights: one tensor for each layer, whose first axis is the decoder.

    Args:
        perturbations: One entry for each kind, such as ``dict(type='F-Noise', num=6, bound=0.3)``:
            ``num`` decoders (1 by default) get this perturbation, which is built with the other
            arguments.
        in_channels: Channels D of z.
        num_classes: Number of classes C.
        stride: Input pixels per position of z, a power of two.
        channels: Hidden width of the decoders; None means C, as in the paper.
        last_relu: See ``subpixel_decode``.
        shared: Whether all decoders have the same weights, and differ in their perturbations alone.
            The parameters then have a first axis of 1, in checkpoints too.

    Attributes:
        perturbations: The :class:`Perturbation` of each of the K decoders.
        names: Their registered names, one for each decoder.
        kinds: The different names, in the order in which they appear.

    Raises:
        ValueError: If a perturbation is unknown, its ``num`` is below 1, its arguments are wrong,
            the list is empty, or the stride is not a power of two.
    """

    def __init__(
        self,
        perturbations: Sequence[dict],
        in_channels: int,
        num_classes: int,
        stride: int = 8,
        channels: int | None = None,
        last_relu: bool = False,
        shared: bool = False,
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
        self.shared = shared
        doublings = num_doublings(stride, 'AuxiliaryBank')
        shapes = subpixel_shapes(in_channels, channels or num_classes, num_classes, doublings)
        own = 1 if shared else len(self)
        self.weights = nn.ParameterList(torch.empty(own, *shape) for shape in shapes)
        self.biases = nn.ParameterList(torch.empty(own, shape[0]) for shape in shapes[1:])
        self.kinds = list(dict.fromkeys(self.names))
        shares = [
            [(name == kind) / self.names.count(kind) for name in self.names] for kind in self.kinds
        ]
        self.register_buffer('kind_shares', torch.tensor(shares), persistent=False)  # [kinds, K]
        for k in range(own):
            init_subpixel_([w[k] for w in self.weights], [b[k] for b in self.biases])

    def __len__(self) -> int:
        return len(self.names)

    def init_weights(self) -> None:
        """Do nothing: the constructor has initialized the weights."""

    @property
    def guided(self) -> list[str]:
        """Names of the perturbations that need to know what is foreground."""
        pairs = zip(self.names, self.perturbations, strict=True)
        return sorted({name for name, perturbation in pairs if perturbation.guided})

    def means_by_kind(self, values: Tensor) -> dict[str, Tensor]:
        """Return the mean of the decoders' values, [K], over each kind of perturbation."""
        means = self.kind_shares @ values.to(self.kind_shares.dtype)
        return dict(zip(self.kinds, means, strict=True))

    def stacked(self) -> tuple[list[Tensor], list[Tensor]]:
        """Return the weights and biases of all decoders, by views where they share them.

        Shape:
            - output: [K, c, D] and [K, 4 c_out, c_in] each; [K, 4 c_out] each
        """
        weights, biases = list(self.weights), list(self.biases)
        if not self.shared:
            return weights, biases
        return tuple(
            [x.expand(len(self), *x.shape[1:]) for x in stack] for stack in (weights, biases)
        )

    def decoder(self, k: int) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Return the first layer, and the weights and biases of the sub-pixel layers, of decoder k.

        Shape:
            - output: [c, D]; [4 c_out, c_in] each; [4 c_out] each
        """
        (first, *weights), biases = ([x[k] for x in stack] for stack in self.stacked())
        return first, weights, biases

    def decode(self, k: int, z: Tensor) -> Tensor:
        """Return the logits of decoder k for a perturbed z.

        Shape:
            - z: [B, D, h, w]
            - output: [B, C, h stride, w stride]
        """
        first, weights, biases = self.decoder(k)
        (y,) = conv1x1(z, first.unsqueeze(0))  # [B, c, h, w]
        return subpixel_decode(y, weights, biases, self.last_relu)


RENAMED = {('F-Noise', 'range'): 'bound'}
"""Former names of perturbations' arguments in configs."""


def build_perturbation(entry: dict) -> tuple[str, int, Perturbation]:
    """Build an entry of ``perturbations``: return its name, number of decoders and the object."""
    arguments = dict(entry)
    name = arguments.pop('type', None)
    count = arguments.pop('num', 1)
    rename_arguments(name, arguments)
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
            '>= 1; remove the entry to train without it'
        )
    try:
        return name, count, cls(**arguments)
    except TypeError as error:
        raise ValueError(f'AuxiliaryBank: wrong argument for {name} in {entry}: {error}') from error


def without_guided(perturbations: Sequence[dict]) -> tuple[list[dict], list[str]]:
    """Leave out the perturbations that need to know what is foreground.

    Args:
        perturbations: As for :class:`AuxiliaryBank`.

    Returns:
        The entries that stay, and the names of those that do not.
    """
    built = [(entry, *build_perturbation(entry)) for entry in perturbations]
    kept = [entry for entry, _, _, perturbation in built if not perturbation.guided]
    return kept, [name for _, name, _, perturbation in built if perturbation.guided]


def rename_arguments(name: str, arguments: dict) -> None:
    """Replace former names of a perturbation's arguments, in place and with a warning."""
    for (perturbation, former), current in RENAMED.items():
        if perturbation != name or former not in arguments:
            continue
        if current in arguments:
            raise ValueError(
                f'AuxiliaryBank: {name} has both {former}={arguments[former]} and '
                f'{current}={arguments[current]}, expected one of them, since {former} is the '
                f'former name of {current}; remove {former}'
            )
        warnings.warn(
            f'the argument {former} of {name} is now called {current}; please rename it in your '
            'config, it means the same',
            FutureWarning,
            stacklevel=2,
        )
        arguments[current] = arguments.pop(former)
