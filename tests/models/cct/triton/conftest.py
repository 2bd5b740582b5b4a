"""Kernels run by Triton's interpreter, in a process of its own.

Triton decides when a kernel is defined whether it will be interpreted, so a process cannot do both:
interpret kernels and compile them.
"""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest


@pytest.fixture(scope='session')
def interpreted():
    """Return a function that calls another one where its kernels are interpreted."""
    with ProcessPoolExecutor(
        1,
        multiprocessing.get_context('spawn'),
        initializer=exec,
        initargs=("import os; os.environ['TRITON_INTERPRET'] = '1'",),
    ) as process:

        def call(function, *arguments, **options):
            return process.submit(function, *arguments, **options).result()

        yield call
