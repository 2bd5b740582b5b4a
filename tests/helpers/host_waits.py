"""Where a computation would wait for an accelerator, found on a CPU."""

import traceback
from collections import Counter
from pathlib import Path

import torch
from torch.utils._python_dispatch import TorchDispatchMode

ATEN = torch.ops.aten
READS = {
    # Tensor.item, float(tensor), bool(tensor), `if tensor`
    ATEN._local_scalar_dense.default,
    # The number of elements is needed to go on.
    ATEN.nonzero.default,
    ATEN.masked_select.default,
    ATEN._unique2.default,
    ATEN.bincount.default,
    ATEN.equal.default,
}


class HostWaits(TorchDispatchMode):
    """Record the calls for whose results the host would wait, with the line that makes them.

    They are reads of values, shapes that depend on values (``nonzero``, a mask as an index), and
    tensors made of Python's numbers, which are copied to the device from memory that is not pinned
    (``torch.tensor``, a list as an index). What a CPU cannot show is not found: ``tolist``,
    ``numpy`` and copies between devices. ``cct_mm/models/transfer.py`` is where copies are made
    that do not wait, so its lines are left out.

    Args:
        root: Folder of the code whose lines are told; what it calls elsewhere counts for the
            innermost line in it.
    """

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = str(root)
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        masks = function in (ATEN.index.Tensor, ATEN.index_put_.default) and any(
            index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1]
        )
        made = function is ATEN.lift_fresh.default and args[0].numel() > 1
        if function in READS or masks or made:
            line = self._line()
            if not line.startswith('models/transfer.py:'):
                self.found[f'{line} {function}'] += 1
        return function(*args, **(kwargs or {}))

    def _line(self) -> str:
        for frame in reversed(traceback.extract_stack()):
            if frame.filename.startswith(self.root):
                return f'{Path(frame.filename).relative_to(self.root)}:{frame.lineno}: {frame.line}'
        return 'elsewhere:'
