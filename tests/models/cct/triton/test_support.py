"""What the kernels cannot compute is said, with the reason, and without Triton, too."""

import re
import subprocess
import sys
import textwrap

import pytest
import torch

from cct_mm.models.cct.triton import unsupported
from cct_mm.models.cct.triton.support import too_large

A100, RTX_4090 = 163 * 1024, 99 * 1024
"""Bytes of shared memory that a program may have."""


@pytest.mark.parametrize('shared_memory', [A100, RTX_4090])
@pytest.mark.parametrize(
    ('channels', 'classes', 'doublings'), [(2, 2, 1), (21, 21, 5), (31, 3, 5), (63, 64, 3)]
)
def test_sizes_that_fit(shared_memory, channels, classes, doublings):
    assert too_large(channels, classes, doublings, shared_memory) is None


@pytest.mark.parametrize(
    ('channels', 'classes', 'doublings', 'reason'),
    [
        (150, 150, 3, 'the decoders have 150 channels, expected at most 63'),
        (64, 21, 3, 'the decoders have 64 channels, expected at most 63'),
        (21, 150, 3, 'there are 150 classes, expected at most 64'),
        (21, 21, 6, 'the stride is 64, expected at most 32 for 21 channels and 21 classes'),
        (59, 59, 4, 'the stride is 16, expected at most 8 .* with 99 KiB of shared memory'),
    ],
)
def test_sizes_that_do_not_fit_are_named(channels, classes, doublings, reason):
    assert re.match(reason, too_large(channels, classes, doublings, RTX_4090))


def test_more_shared_memory_takes_larger_sizes():
    assert too_large(59, 59, 5, A100) is None


def test_a_distance_that_the_kernels_do_not_know():
    found = unsupported(torch.device('cuda'), torch.float32, 21, 21, 3, 'js-reversed')
    assert found == 'the distance is js-reversed, expected one of mse, kl, js'


def test_a_cpu_is_no_gpu():
    pytest.importorskip('triton')
    found = unsupported(torch.device('cpu'), torch.float32, 21, 21, 3)
    assert found == 'the tensors are on cpu, expected an NVIDIA GPU'


def test_the_reason_can_be_asked_for_without_triton():
    script = """
    import sys
    sys.modules['triton'] = None
    import torch
    from cct_mm.models.cct.triton import unsupported
    print(unsupported(torch.device('cuda'), torch.float32, 21, 21, 3))
    """
    command = [sys.executable, '-c', textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == 'Triton is not installed'
