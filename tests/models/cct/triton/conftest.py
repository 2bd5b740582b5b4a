"""Kernels run by Triton's interpreter in a process of its own and, where there is one, on a GPU.

Triton decides when a kernel is defined whether it will be interpreted, so a process cannot do both:
interpret kernels and compile them.
"""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import register_dataclass, tree_leaves, tree_map

from cct_mm.models.cct.decoder_pass import PassResult

# So that its tensors are found where those of arguments and results are moved or compared.
register_dataclass(PassResult)


@pytest.fixture(scope='session')
def interpreter():
    """Return a function that calls another one where its kernels are interpreted.

    Processes share the memory of tensors, so what the other one writes to them arrives here.
    """
    with ProcessPoolExecutor(
        1,
        multiprocessing.get_context('spawn'),
        initializer=exec,
        initargs=("import os; os.environ['TRITON_INTERPRET'] = '1'",),
    ) as process:

        def call(function, *arguments, **options):
            return process.submit(function, *arguments, **options).result()

        yield call


@pytest.fixture(scope='session')
def gpu():
    """Return a function that calls another one with its tensors on a GPU."""
    if not torch.cuda.is_available():
        pytest.skip('there is no GPU')
    return _on_gpu


def _on_gpu(function, *arguments, **options):
    """Call a function with copies of its tensors on a GPU, and bring back what it does to them."""

    def to(device):
        return lambda x: x.to(device) if isinstance(x, Tensor) else x

    moved = tree_map(to('cuda'), (arguments, options))
    result = function(*moved[0], **moved[1])
    for x, y in zip(tree_leaves((arguments, options)), tree_leaves(moved), strict=True):
        if isinstance(x, Tensor):
            x.copy_(y)
    return tree_map(to('cpu'), result)


@pytest.fixture(params=['interpreter', *['gpu'] * torch.cuda.is_available()])
def run(request):
    """Return a function that calls another one with its kernels."""
    return request.getfixturevalue(request.param)
