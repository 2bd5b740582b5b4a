"""What the kernels can compute; importable without Triton."""

import importlib.util

import torch

from .layout import padded

LARGEST_TILE = 64
"""Side of the largest tile. Compiled for one of 128, most of a block's numbers leave the registers.

Besides, its products would need more shared memory than all but the largest GPUs have.
"""

MOST_DOUBLINGS = 5
"""Sub-pixel layers whose maps a program holds at once; stride 32."""

SMALLEST_CAPABILITY = (8, 0)
"""Of the GPUs for which the kernels have been compiled: Ampere and newer."""


def unsupported(
    device: torch.device, dtype: torch.dtype, channels: int, classes: int, doublings: int
) -> str | None:
    """Return why the kernels cannot compute these decoders, or None if they can.

    Args:
        device: Where the tensors are.
        dtype: Their type.
        channels: Channels c after the first layer.
        classes: Number of classes C.
        doublings: Number n of sub-pixel layers.
    """
    if importlib.util.find_spec('triton') is None:
        return 'Triton is not installed'
    if device.type != 'cuda' or torch.version.hip:
        return f'the tensors are on {device}, expected a CUDA device'
    if torch.cuda.get_device_capability(device) < SMALLEST_CAPABILITY:
        return f'{torch.cuda.get_device_name(device)} is older than compute capability 8.0'
    return too_large(channels, classes, doublings) or (
        None if dtype == torch.float32 else f'the type is {dtype}, expected torch.float32'
    )


def too_large(channels: int, classes: int, doublings: int) -> str | None:
    """Return which of a decoder's sizes is too large for the kernels, or None.

    The arguments are those of :func:`unsupported`.
    """
    if padded(channels + 1) > LARGEST_TILE:
        return f'the decoders have {channels} channels, expected at most {LARGEST_TILE - 1}'
    if padded(classes) > LARGEST_TILE:
        return f'there are {classes} classes, expected at most {LARGEST_TILE}'
    if doublings > MOST_DOUBLINGS:
        return f'the stride is {2**doublings}, expected at most {2**MOST_DOUBLINGS}'
    return None
