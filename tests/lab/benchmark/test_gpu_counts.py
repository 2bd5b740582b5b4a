"""Kernels and waits of the host: what counts, and where a wait comes from."""

import warnings

import pytest
import torch

from cct_mm.lab.benchmark.gpu_counts import (
    count_events,
    count_kernels,
    count_waits,
    never_waits,
    noted_waits,
)

CPU = torch.device('cpu')
MESSAGE = 'called a synchronizing CUDA operation'
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')


def test_events_of_the_device_are_counted_by_kind():
    events = [
        {'cat': 'kernel', 'name': 'gemm'},
        {'cat': 'kernel', 'name': 'add'},
        {'cat': 'kernel', 'name': 'add'},
        {'cat': 'gpu_memcpy', 'name': 'Memcpy HtoD (Pageable -> Device)'},
        {'cat': 'gpu_memset', 'name': 'Memset (Device)'},
        {'cat': 'cuda_runtime', 'name': 'cudaLaunchKernel'},
        {'cat': 'cpu_op', 'name': 'aten::add'},
        {'cat': 'gpu_user_annotation', 'name': 'Optimizer.step#SGD.step'},
        {'name': 'process_name', 'ph': 'M'},
    ]
    counts = count_events(events)
    assert counts['kernels'] == 3
    assert (counts['copies'], counts['fills']) == (1, 1)
    assert counts['most_launched'] == {'add': 2, 'gemm': 1}


def test_a_run_on_a_cpu_launches_no_kernel_and_never_waits():
    def run():
        return torch.ones(3).sum().item()

    assert count_kernels(run, CPU)['kernels'] == 0
    assert count_waits(run, CPU) == {'waits': 0, 'wait_places': {}}
    assert never_waits(run, CPU)


def code_in(path, text):
    """Functions of a module that would be at a path."""
    namespace = {'warnings': warnings, 'MESSAGE': MESSAGE}
    exec(compile(text, path, 'exec'), namespace)
    return namespace


def test_a_wait_is_named_by_the_innermost_line_of_the_packages():
    warn = code_in('/lib/torch/functional.py', 'def warn():\n    warnings.warn(MESSAGE)')['warn']
    inner = code_in('/cct_mm/cct_mm/models/norm.py', '\ndef inner(f):\n    f()')['inner']
    outer = code_in('/lib/mmengine/model.py', 'def outer(f, g):\n    f(g)')['outer']
    bench = code_in('/cct_mm/cct_mm/lab/benchmark/step.py', 'def run(f):\n    f()')['run']
    with noted_waits() as places:
        outer(inner, warn)
        outer(inner, warn)
        outer(bench, warn)
        bench(warn)
    assert places == {'cct_mm/models/norm.py:3': 2, 'mmengine/model.py:2': 1, 'benchmark': 1}


def test_other_warnings_stay_visible():
    with pytest.warns(UserWarning, match='something else'), noted_waits() as places:
        warnings.warn('something else', stacklevel=1)
    assert not places


@needs_gpu
def test_kernels_and_waits_on_a_gpu():
    device = torch.device('cuda', 0)
    x = torch.ones(1000, device=device)
    assert count_kernels(lambda: x.mul(2).add_(1), device)['kernels'] == 2
    assert count_kernels(lambda: x.to('cpu'), device)['copies'] == 1
    assert count_waits(lambda: x.mul(2), device)['waits'] == 0
    assert count_waits(lambda: x[0].item(), device)['waits'] == 1
    assert never_waits(lambda: x.mul(2), device)
    assert not never_waits(lambda: x[0].item(), device)
