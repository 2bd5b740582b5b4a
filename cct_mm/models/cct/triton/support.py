"""What the kernels can compute; importable without Triton."""

import importlib.util

import torch

from .layout import padded

LARGEST_TILE = 64
"""Side of the largest tile.

With tiles of 128, I-VAT's kernel needs more shared memory than any GPU has, and without tensor
cores most of a block's numbers leave the registers.
"""

DISTANCES = 'mse', 'kl', 'js'
"""Distances of L_u that the kernels know."""

MOST_DOUBLINGS = 5
"""Sub-pixel layers whose maps a program holds at once; stride 32."""

SMALLEST_CAPABILITY = (8, 0)
"""Of the GPUs for which the kernels are compiled in the tests: Ampere and newer."""

SHARED_MEMORY = 160 * 1024
"""Bytes that a program needs for the largest tiles and more than :data:`FEW_DOUBLINGS` layers.

All others need no more than 99 KiB, which every supported GPU has.
"""

FEW_DOUBLINGS = 3


def unsupported(
    device: torch.device,
    dtype: torch.dtype,
    channels: int,
    classes: int,
    doublings: int,
    distance: str = 'mse',
) -> str | None:
    """Return why the kernels cannot compute these decoders, or None if they can.

    Args:
        device: Where the tensors are.
        dtype: Their type.
        channels: Channels c after the first layer.
        classes: Number of classes C.
        doublings: Number n of sub-pixel layers.
        distance: The distance d of L_u.
    """
    if distance not in DISTANCES:
        return f'the distance is {distance}, expected one of {", ".join(DISTANCES)}'
    if importlib.util.find_spec('triton') is None:
        return 'Triton is not installed'
    if device.type != 'cuda' or torch.version.hip:
        return f'the tensors are on {device}, expected an NVIDIA GPU'
    if dtype != torch.float32:
        return f'the tensors are {dtype}, expected torch.float32'
    properties = torch.cuda.get_device_properties(device)
    if (properties.major, properties.minor) < SMALLEST_CAPABILITY:
        return (
            f'{properties.name} has compute capability {properties.major}.{properties.minor}, '
            'expected at least {}.{}'.format(*SMALLEST_CAPABILITY)
        )
    return too_large(channels, classes, doublings, properties.shared_memory_per_block_optin)


def too_large(channels: int, classes: int, doublings: int, shared_memory: int) -> str | None:
    """Return which of the decoders' sizes is too large for the kernels, or None.

    The arguments are those of :func:`unsupported`, and the bytes of shared memory that the GPU has
    for a program.
    """
    if padded(channels + 1) > LARGEST_TILE:
        return f'the decoders have {channels} channels, expected at most {LARGEST_TILE - 1}'
    if padded(classes) > LARGEST_TILE:
        return f'there are {classes} classes, expected at most {LARGEST_TILE}'
    most = MOST_DOUBLINGS
    if max(padded(channels + 1), padded(classes)) == LARGEST_TILE and shared_memory < SHARED_MEMORY:
        most = FEW_DOUBLINGS
    if doublings > most:
        return (
            f'the stride is {2**doublings}, expected at most {2**most} for {channels} channels and '
            f'{classes} classes with {shared_memory // 1024} KiB of shared memory'
        )
    return None
