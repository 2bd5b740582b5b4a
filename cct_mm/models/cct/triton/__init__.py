"""Triton kernels for the auxiliary decoders on a GPU; each is held to the PyTorch code by tests.

Triton is an optional import: without it (CPUs, macOS, Windows) only ``support.py`` and
``layout.py`` can be imported. Ask :func:`unsupported` first, then import the kernel's module:

- ``decoder_pass.py``: from the first layers' output to the losses, and back.
- ``kl_gradient.py``: the gradient of a KL divergence, which I-VAT needs.
- ``philox.py``: the counter-based generator, inside a kernel.
- ``feature_noise.py``: F-Noise projected by the first layers, its noise drawn on the way.

No two programs of a launch write to the same address, and none reads what another writes. So there
are no atomics and the results do not depend on the order in which the programs run.
"""

from .support import unsupported

__all__ = ['unsupported']
