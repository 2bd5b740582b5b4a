"""Every kernel compiles for GPUs without one, and its numbers stay in registers."""

import os
import re
import subprocess
from pathlib import Path

import pytest

pytest.importorskip('triton')

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from cct_mm.models.cct.triton import decoder_pass, feature_noise, kl_gradient
from cct_mm.models.cct.triton.blocks import block_shape
from cct_mm.models.cct.triton.support import (
    FEW_DOUBLINGS,
    LARGEST_TILE,
    MOST_DOUBLINGS,
    SHARED_MEMORY,
)

TOOL = Path(triton.__file__).parent / 'backends/nvidia/bin/cuobjdump'

pytestmark = [
    pytest.mark.skipif(not TOOL.exists(), reason=f'Triton comes without {TOOL.name} here'),
    pytest.mark.skipif('TRITON_INTERPRET' in os.environ, reason='Triton interprets its kernels'),
]

LEAST_SHARED_MEMORY = 99 * 1024
"""Bytes that a program may have on all GPUs of compute capability 8.0 and newer."""

LOCAL_MEMORY = 512
"""Bytes that a thread may keep out of its 255 registers, half as much as in them."""

TYPES = dict(
    label_ptr='*u8', valid_ptr='*u8', decoders_ptr='*i64', batch_ptr='*i64', constants_ptr='*i64',
    bound='fp32', distance_factor='fp32', weak_factor='fp32', pairwise_factor='fp32',
)  # fmt: skip
"""Types of arguments other than int32 and pointers to float32."""


def compiled(kernel, capability, tmp_path, num_warps, num_stages, **constants):
    """Return bytes of shared memory of a program and of local memory of a thread."""
    default = {True: '*fp32', False: 'i32'}
    signature = {
        name: 'constexpr' if name in constants else TYPES.get(name, default['_ptr' in name])
        for name in kernel.arg_names
    }
    pointers = [i for i, name in enumerate(kernel.arg_names) if name.endswith('_ptr')]
    # As all tensors are that PyTorch allocates.
    aligned = {(i,): [['tt.divisibility', 16]] for i in pointers}
    result = triton.compile(
        ASTSource(kernel, signature, constants, aligned),
        target=GPUTarget('cuda', capability, 32),
        options=dict(num_warps=num_warps, num_stages=num_stages),
    )
    path = tmp_path / 'kernel.cubin'
    path.write_bytes(result.asm['cubin'])
    usage = subprocess.run([TOOL, '-res-usage', path], capture_output=True, text=True, check=True)
    return result.metadata.shared, int(re.search(r'STACK:(\d+)', usage.stdout).group(1))


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Leave the user's cache of compiled kernels alone."""
    monkeypatch.setenv('TRITON_CACHE_DIR', str(tmp_path / 'cache'))


@pytest.mark.parametrize('capability', [80, 90])
@pytest.mark.parametrize('precision', ['ieee', 'tf32'])
class TestKernels:
    @pytest.mark.parametrize(
        ('kernel', 'options'),
        [
            (decoder_pass._decoder_pass, dict(DISTANCE='mse', WEAK=False, PAIRWISE=False)),
            (decoder_pass._decoder_pass, dict(DISTANCE='js', WEAK=True, PAIRWISE=True)),
            (decoder_pass._mean_probability, {}),
            (kl_gradient._kl_gradient, dict(AT_ZERO=True)),
        ],
        ids=['pass', 'pass with everything on', 'mean', 'Hessian'],
    )
    def test_of_the_tree(self, tmp_path, capability, precision, kernel, options):
        shape = block_shape(21, 21, precision)
        sizes = dict(N=3, CHANNELS=21, CLASSES=21, LAST_RELU=True, PRECISION=precision)
        shared, local = compiled(kernel, capability, tmp_path, **shape, **sizes, **options)
        assert shared <= LEAST_SHARED_MEMORY
        assert local <= LOCAL_MEMORY

    @pytest.mark.parametrize('name', ['_project', '_backward_z', '_backward_weight'])
    def test_of_feature_noise(self, tmp_path, capability, precision, name):
        kernel, sizes = getattr(feature_noise, name), dict(CHANNELS=21, CP=32, ROUNDS=7)
        shared, local = compiled(
            kernel, capability, tmp_path, **feature_noise.TILE, **sizes, PRECISION=precision
        )
        assert shared <= LEAST_SHARED_MEMORY
        assert local == 0


@pytest.mark.parametrize('capability', [80, 90])
@pytest.mark.parametrize(
    ('doublings', 'most'), [(FEW_DOUBLINGS, LEAST_SHARED_MEMORY), (MOST_DOUBLINGS, SHARED_MEMORY)]
)
def test_the_largest_sizes_have_their_shared_memory(tmp_path, capability, doublings, most):
    # Of all kernels this one has the most maps in shared memory.
    channels, classes = LARGEST_TILE - 1, LARGEST_TILE
    sizes = dict(N=doublings, CHANNELS=channels, CLASSES=classes, LAST_RELU=True, AT_ZERO=True)
    shared, _ = compiled(
        kl_gradient._kl_gradient,
        capability,
        tmp_path,
        **block_shape(channels, classes, 'tf32'),
        **sizes,
        PRECISION='tf32',
    )
    assert shared <= most
