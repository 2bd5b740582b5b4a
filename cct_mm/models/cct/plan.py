"""How the fused path divides its work: into groups of decoders, and chunks of positions."""

import warnings
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from cct_mm.models.transfer import send

from .auxiliary_bank import AuxiliaryBank
from .triton import unsupported


class Plan(NamedTuple):
    """How much is computed at once.

    Args:
        group_size: Decoders computed side by side; None means all.
        chunk_elements: Numbers in the logits of one chunk.
        copies: Decoders of which perturbed copies of z are made at once; None means all.
        precision: ``input_precision`` of the products in Triton kernels, 'ieee' or 'tf32', which
            compute whole groups without chunks; None computes in PyTorch.
    """

    group_size: int | None
    chunk_elements: int
    copies: int | None
    precision: str | None = None


def plan_for(z: Tensor) -> Plan:
    """Return the plan for a batch of images, on the device where it is."""
    return cpu_plan() if z.device.type == 'cpu' else gpu_plan(len(z))


def cpu_plan() -> Plan:
    """Return the plan of a CPU.

    The maps of a chunk fit the caches of its cores (of at most 8), and eight decoders are enough
    for efficient matrix products, however many there are.
    """
    return Plan(8, 2**18 * min(torch.get_num_threads(), 8), 1)


def gpu_plan(images: int) -> Plan:
    """Return the plan of a GPU: all decoders side by side, and as many chunks for any batch.

    A chunk's maps are 12 MiB each for every image of the batch, and four of them are in memory at
    once, when the encoder's maps for backward take some 500 MiB for every image. With more decoders
    a chunk has fewer positions, and there are more chunks.
    """
    return Plan(group_size=None, chunk_elements=3 * 2**20 * images, copies=None)


def triton_plan(bank: AuxiliaryBank, z: Tensor, precision: str, distance: str = 'mse') -> Plan:
    """Return the plan that computes in Triton kernels or, saying so once, the one without them.

    Args:
        bank: The decoders.
        z: The encoder's output, [B, D, h, w].
        precision: As in :class:`Plan`.
        distance: The distance d of L_u.
    """
    channels, doublings = bank.weights[0].shape[1], len(bank.biases)
    reason = unsupported(z.device, z.dtype, channels, bank.num_classes, doublings, distance)
    if reason is None:
        return gpu_plan(len(z))._replace(precision=precision)
    # Python shows a warning from one place once.
    warnings.warn(
        f'path="triton" of CCT computes in PyTorch, as path="fused" does, because {reason}',
        stacklevel=2,
    )
    return plan_for(z)


@dataclass
class Group:
    """Decoders that are computed side by side.

    Args:
        decoders: Their indices, in rising order.
        index: The same on the device.
        share: For Eq. 10, 1 / number of compared decoders where one is compared, else 0; None where
            the group has none of them.

    Shape:
        - index: [G], int64
        - share: [G]
    """

    decoders: list[int]
    index: Tensor
    share: Tensor | None = None

    def take(self, of_all: Tensor) -> Tensor:
        """Return the group's part, [G, ...], of what belongs to all decoders, [K, ...]."""
        start, stop = self.decoders[0], self.decoders[-1] + 1
        if stop - start == len(self.decoders):
            return of_all[start:stop]
        return of_all.index_select(0, self.index)

    def put(self, of_all: Tensor, own: Tensor) -> None:
        """Write the group's part, [G, ...], into what belongs to all decoders, [K, ...]."""
        of_all.index_copy_(0, self.index, own)


def groups_of(
    count: int,
    compared: list[int],
    index: Tensor,
    marks: Tensor,
    plan: Plan,
    dtype: torch.dtype,
) -> list[Group]:
    """Divide the decoders into groups.

    The compared decoders are in one group, because each one's gradient needs the predictions of the
    others.

    Args:
        count: Number of decoders K.
        compared: Those that Eq. 10 compares, in rising order.
        index: All decoders, on the device.
        marks: 1 where a decoder is compared, else 0.
        plan: How many may be in a group.
        dtype: Type of the shares.

    Shape:
        - index, marks: [K], int64
    """
    if plan.group_size is None:
        share = marks.to(dtype) / len(compared) if compared else None
        return [Group(list(range(count)), index, share)]
    groups = []
    if compared:
        share = torch.full((len(compared),), 1 / len(compared), dtype=dtype, device=index.device)
        groups.append(Group(compared, *send(index.device, compared), share))
    rest = [k for k in range(count) if k not in compared]
    for start in range(0, len(rest), plan.group_size):
        own = rest[start : start + plan.group_size]
        groups.append(Group(own, *send(index.device, own)))
    return groups
