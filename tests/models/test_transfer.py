"""What is brought to a device arrives as it was."""

import pytest
import torch

from cct_mm.models.transfer import send, stack_on

DEVICES = [
    'cpu',
    pytest.param(
        'cuda', marks=pytest.mark.skipif(not torch.cuda.is_available(), reason='there is no GPU')
    ),
]


@pytest.mark.parametrize('device', DEVICES)
def test_send_returns_each_list(device):
    parts = [1, 2**62, -5], [], [True, False], range(2)
    found = send(torch.device(device), *parts)
    assert [part.tolist() for part in found] == [list(map(int, part)) for part in parts]
    assert all(part.dtype == torch.int64 and part.device.type == device for part in found)


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize('dtype', [torch.uint8, torch.float32, torch.bool])
def test_stack_on_stacks(device, dtype):
    tensors = [torch.randint(0, 2, (2, 3)).to(dtype) for _ in range(3)]
    found = stack_on(torch.device(device), tensors)
    assert found.device.type == device and torch.equal(found.cpu(), torch.stack(tensors))
