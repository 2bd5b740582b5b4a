"""The ways in which a step is computed: the path of the auxiliary decoders, precision, layout."""

import argparse
import warnings
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from cct_mm.models.cct import (
    AuxiliaryBank,
    Target,
    UnsupervisedLoss,
    UnsupervisedTerms,
    consistency_fused,
    consistency_reference,
)
from cct_mm.models.cct.plan import triton_plan


def no_decoders(
    bank: AuxiliaryBank, z: Tensor, target: Target, terms: UnsupervisedTerms
) -> UnsupervisedLoss:
    """Compute no decoder (K = 0): the mean of z takes the place of L_u.

    It is the cheapest scalar whose gradient goes back through the whole encoder on the unlabeled
    images, so the step still makes z and the target.
    """
    return UnsupervisedLoss(
        terms.consistency_weight * z.mean(), z.new_zeros(len(bank)), pairwise=None
    )


def triton_or_error(
    bank: AuxiliaryBank, z: Tensor, target: Target, terms: UnsupervisedTerms, precision: str
) -> UnsupervisedLoss:
    """Compute with Triton kernels, whose figures are not to be those of PyTorch.

    Raises:
        ValueError: They cannot compute it.
    """
    plan = triton_plan(bank, z, precision)
    if plan.precision is None:
        raise ValueError('path triton: the kernels cannot compute this, see the warning above')
    return consistency_fused(bank, z, target, terms, plan)


PATHS = {
    'k0': no_decoders,
    'reference': consistency_reference,
    'fused': consistency_fused,
    'triton': partial(triton_or_error, precision='ieee'),
    'triton-tf32': partial(triton_or_error, precision='tf32'),
}
TITLES = {'k0': 'K = 0'}


def current_path(name: str) -> str:
    """Return the name of a path, where the old name ``fast`` stands for ``fused``."""
    if name == 'fast':
        warnings.warn('benchmark: the path `fast` is called `fused` now', stacklevel=2)
        return 'fused'
    return name


@dataclass(frozen=True)
class Variant:
    """How a step is computed.

    Args:
        path: One of ``PATHS``.
        bfloat16: Whether it runs in mixed precision.
        channels_last: Whether the model's memory format is channels last.
    """

    path: str
    bfloat16: bool = False
    channels_last: bool = False

    @classmethod
    def parse(cls, text: str) -> 'Variant':
        """Read ``fused`` or ``fused+bfloat16+channels-last``.

        Raises:
            argparse.ArgumentTypeError: The text names no variant.
        """
        path, *extras = text.split('+')
        path = current_path(path)
        if path not in PATHS or not {'bfloat16', 'channels-last'}.issuperset(extras):
            raise argparse.ArgumentTypeError(
                f'found {text!r}, expected one of {", ".join(PATHS)}, with +bfloat16 and '
                '+channels-last where wanted'
            )
        return cls(path, 'bfloat16' in extras, 'channels-last' in extras)

    @property
    def name(self) -> str:
        """The name in the table."""
        extras = [', bfloat16'] * self.bfloat16 + [', channels last'] * self.channels_last
        return ''.join([TITLES.get(self.path, self.path), *extras])


def compute_decoders(
    path: str, bank: AuxiliaryBank, z: Tensor, target: Target, terms: UnsupervisedTerms
) -> Tensor:
    """Compute the decoders alone: return their loss, and drop its gradients.

    Args:
        path: One of ``PATHS`` that computes decoders.
        bank: The decoders.
        z: The encoder's output, with ``requires_grad``.
        target: What they learn from.
        terms: The terms of the loss.

    Shape:
        - z: [B, D, h, w]
        - output: scalar
    """
    loss = PATHS[path](bank, z, target, terms).total
    torch.autograd.grad(loss, [z, *bank.parameters()])
    return loss.detach()
