"""How many calls of PyTorch a computation makes, on any device.

On a GPU each of them launches at least one kernel, whatever the size of its tensors, so the number
tells what launches will cost without a GPU. What launches nothing is not counted:

- views, which a schema declares as returning an argument that is not written (``view``, ``slice``,
  ``detach``, ``expand``, ...), and ``_unsafe_view``, which declares nothing;
- what changes only the sizes or strides of a tensor (tagged ``inplace_view``: ``t_``, ``resize_``);
- allocations without content (``empty_like``, ``new_empty``, ...; ``zeros`` writes and counts);
- questions that the host answers (:data:`FREE`).

``_to_copy`` counts: ``x.to(...)`` that returns x itself does not get here. So does
``_local_scalar_dense``, the copy behind ``x.item()``.
"""

import functools
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

FREE = frozenset(
    {
        # Allocations without content.
        'aten::empty',
        'aten::empty_like',
        'aten::empty_permuted',
        'aten::empty_strided',
        'aten::new_empty',
        'aten::new_empty_strided',
        'aten::_efficientzerotensor',
        # A view without an annotation.
        'aten::_unsafe_view',
        # What the host knows or does on its own.
        'aten::_has_same_storage_numel',
        'aten::_pin_memory',
        'aten::is_pinned',
        'aten::is_same_size',
        'aten::record_stream',
    }
)
"""Names of operators that launch nothing although their schemas do not say so."""


@functools.cache
def launches(operator: Any) -> bool:
    """Return whether a call of an operator (a ``torch._ops.OpOverload``) launches work."""
    if operator.name().split('.')[0] in FREE or torch.Tag.inplace_view in operator.tags:
        return False
    schema = operator._schema
    if schema.is_mutable:
        return True
    returned = [value.alias_info for value in schema.returns]
    return not returned or any(alias is None for alias in returned)


class CallCounter(TorchDispatchMode):
    """Count calls that launch work inside of a context, those of the backward pass too.

    A Triton kernel that is called as a ``torch.library`` operator is one call; allocations and
    launches inside of it are not seen. One that is launched directly is not seen at all: its caller
    adds it with :meth:`add`.

    Attributes:
        by_name: Number of calls of each operator, such as ``{'aten::bmm': 6}``.

    Example:
        >>> x = torch.ones(2, 3)
        >>> with CallCounter() as calls:
        ...     y = x.t() @ x + 1
        >>> calls.total, dict(calls.by_name)
        (2, {'aten::mm': 1, 'aten::add': 1})
    """

    def __init__(self) -> None:
        super().__init__()
        self.by_name: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """Number of calls."""
        return self.by_name.total()

    def add(self, name: str, count: int = 1) -> None:
        """Count launches that PyTorch's dispatcher does not see."""
        self.by_name[name] += count

    def __torch_dispatch__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        """Call an operator, and count the call."""
        if launches(func):
            self.add(func.name().split('.')[0])
        return func(*args, **(kwargs or {}))
