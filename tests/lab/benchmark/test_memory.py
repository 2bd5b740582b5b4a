"""Memory is that of a run at its peak, and a process that fails says why."""

import os

import pytest
import torch

from cct_mm.lab.benchmark.cases import Case, Work
from cct_mm.lab.benchmark.memory import measure_memory, memory_in_fresh_process

CPU = torch.device('cpu')
MIB = 2**20


@pytest.mark.skipif(
    not os.access('/proc/self/clear_refs', os.W_OK), reason='this kernel cannot set the peak back'
)
@pytest.mark.parametrize('size', [32, 128])
def test_memory_is_what_a_run_holds_at_its_peak(size):
    def build():
        kept = torch.ones(40 * MIB // 4)

        def run():
            first = torch.ones(size * MIB // 4)
            del first
            return torch.ones(size * MIB // 4).sum() + kept.sum()

        return Work(run, gradient_bytes=MIB)

    above_before, _ = measure_memory(Case('', build), CPU, seed=0)
    assert above_before['bytes'] == pytest.approx(size * MIB, abs=2 * MIB)
    assert above_before['beyond_gradients'] == above_before['bytes'] - MIB
    above_bare, _ = measure_memory(Case('', build, above_bare=True), CPU, seed=0)
    assert above_bare['bytes'] == pytest.approx((40 + size) * MIB, abs=2 * MIB)
    assert above_bare['beyond_gradients'] is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_on_a_gpu_neither_first_runs_nor_other_cases_count():
    device = torch.device('cuda', 0)

    def build():
        kept = torch.ones(40 * MIB // 4, device=device)
        sizes = iter([512])

        def run():
            return torch.ones(next(sizes, 32) * MIB // 4, device=device)[0] + kept[0]

        return Work(run)

    case = Case('', build, above_bare=True)
    works = [measure_memory(case, device, seed=0) for _ in range(2)]
    assert [figures['bytes'] // MIB for figures, _ in works] == [72, 72]


def test_a_memory_process_that_fails_says_why():
    with pytest.raises(ValueError, match='"fused".*no such thing'):
        memory_in_fresh_process('fused', ['sh', '-c', 'echo no such thing >&2; exit 1'])
    with pytest.raises(ValueError, match='signal 9.*memory'):
        memory_in_fresh_process('fused', ['sh', '-c', 'kill -9 $$'])
