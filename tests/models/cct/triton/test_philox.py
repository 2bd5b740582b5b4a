"""The kernel's integers are those of the computation in PyTorch, which has the known answers."""

import pytest
import torch

from cct_mm import philox

pytest.importorskip('triton')

from cct_mm.models.cct.triton.philox import generate


@pytest.mark.parametrize('rounds', [7, 10])
@pytest.mark.parametrize('key', [0, 1, 2**63 + 12345, 2**64 - 1])
def test_equals_the_computation_in_pytorch(run, key, rounds):
    torch.manual_seed(key % 2**31)
    ends = torch.tensor([[0, -1, 2**31, 2**32], [0, -1, -(2**63), 2**63 - 1]])
    counters = torch.cat([ends, torch.randint(-(2**63), 2**63 - 1, (2, 1500))], dim=1)
    constants = torch.tensor(philox.constants(key, rounds))
    found = run(generate, counters, constants)
    assert torch.equal(found, philox.philox4x32(counters.clone(), constants))
