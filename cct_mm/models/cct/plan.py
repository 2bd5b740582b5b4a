"""How the fused path divides its work: into groups of decoders, and chunks of positions."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .auxiliary_bank import AuxiliaryBank


class Plan(NamedTuple):
    """How much is computed at once.

    Args:
        group_size: Decoders computed side by side; None means all.
        chunk_elements: Numbers in the logits of one chunk.
        copies: Decoders of which perturbed copies of z are made at once; None means all.
    """

    group_size: int | None
    chunk_elements: int
    copies: int | None


GPU = Plan(group_size=None, chunk_elements=2**24, copies=None)
"""A few large calls, whose number does not grow with the number of decoders; 64 MiB a map."""


def plan_for(device: torch.device) -> Plan:
    """Return the plan of a device.

    On a CPU, the maps of a chunk fit the caches of its cores (of at most 8), and eight decoders are
    enough for efficient matrix products, however many there are.
    """
    if device.type == 'cpu':
        return Plan(8, 2**18 * min(torch.get_num_threads(), 8), 1)
    return GPU


@dataclass
class Group:
    """Decoders that are computed side by side.

    Args:
        decoders: Their indices, those of one algebraic form beside each other.
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
        return of_all.index_select(0, self.index)

    def put(self, of_all: Tensor, own: Tensor) -> None:
        """Write the group's part, [G, ...], into what belongs to all decoders, [K, ...]."""
        of_all.index_copy_(0, self.index, own)


def groups_of(
    bank: AuxiliaryBank, compared: list[int], marks: Tensor, plan: Plan, dtype: torch.dtype
) -> list[Group]:
    """Divide the decoders into groups.

    The compared decoders are in one group, because each one's gradient needs the predictions of the
    others.

    Args:
        bank: The decoders.
        compared: Those that Eq. 10 compares.
        marks: The same: 1 where a decoder, in ``bank.order``, is compared, else 0.
        plan: How many may be in a group.
        dtype: Type of the shares.

    Shape:
        - marks: [K], int64
    """
    if plan.group_size is None:
        share = marks.to(dtype) / len(compared) if compared else None
        return [Group(bank.order, bank.order_index, share)]
    groups = []
    if compared:
        own = [k for k in bank.order if k in compared]
        share = torch.full((len(own),), 1 / len(own), dtype=dtype, device=marks.device)
        groups.append(Group(own, bank.order_index.new_tensor(own), share))
    rest = [k for k in bank.order if k not in compared]
    for start in range(0, len(rest), plan.group_size):
        own = rest[start : start + plan.group_size]
        groups.append(Group(own, bank.order_index.new_tensor(own)))
    return groups
