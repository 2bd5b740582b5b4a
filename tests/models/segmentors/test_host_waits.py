"""A training step never waits for the device, and copies nothing to it that could make it wait."""

from pathlib import Path

import pytest
import torch
from host_waits import HostWaits
from mmengine.optim import OptimWrapper
from mmengine.structures import PixelData

import cct_mm

ROOT = Path(cct_mm.__file__).parent


@pytest.fixture
def waits_of():
    """Take two steps, of which the second is watched: the first makes what is kept."""

    def compute(model, data, **options):
        model.train()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, **options)
        optim_wrapper = OptimWrapper(optimizer)
        model.train_step(data, optim_wrapper)
        model.after_step()
        with HostWaits(ROOT) as waits:
            model.train_step(data, optim_wrapper)
            model.after_step()
        # What stack_on carries travels from pinned memory.
        return {line: count for line, count in waits.found.items() if 'stack_on(' not in line}

    return compute


METHODS = {
    'supervised': dict(method='SupervisedSegmentor'),
    'CCT': dict(),
    'entropy minimization': dict(method='EntropyMinimization'),
    'pseudo-labeling': dict(method='PseudoLabeling'),
    'VAT on the image': dict(method='InputVAT'),
    'cross pseudo supervision': dict(method='CrossPseudoSupervision'),
    'weak to strong': dict(method='WeakToStrong', strong=dict(channel_dropout=0.5)),
    'with a teacher and strong views': dict(teacher=dict(decay=0.99), strong=dict(views=1)),
    'in one pass': dict(joint_encoding=True),
    'with a discriminator': dict(discriminator=dict(in_channels=32, channels=(8,))),
    'with a pyramid': dict(
        neck=dict(type='PSPNeck', in_channels=32, out_channels=16, in_index=2),
        auxiliary=dict(in_channels=16, perturbations=[dict(type='F-Drop')]),
        decode_head=dict(type='SubPixelHead', in_channels=16),
    ),
}


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('size', [(32, 48), (25, 41)])
def test_a_step_waits_for_nothing(make_model, make_data, waits_of, method, size):
    model = make_model(**METHODS[method])
    data = make_data(unlabeled=0 if method == 'supervised' else 2, size=size)
    assert waits_of(model, data) == {}


def test_a_step_with_pseudo_labels_and_filling_waits_for_nothing(make_model, make_data, waits_of):
    data = make_data(size=(25, 41))
    weak, filled = data['data_samples'][2:]
    weak.set_metainfo(dict(supervision='weak'))
    weak.gt_sem_seg = PixelData(data=torch.zeros(1, 25, 41, dtype=torch.int64))
    filled.filled = PixelData(data=torch.rand(1, 25, 41) < 0.3)
    assert waits_of(make_model(), data) == {}


class TestHostWaits:
    @pytest.mark.parametrize(
        'wait',
        [
            lambda x: x.sum().item(),
            lambda x: 1 if x.sum() > 0 else 0,
            lambda x: x[x > 0],
            lambda x: x[[0, 1]],
            lambda x: x.nonzero(),
            lambda x: torch.equal(x, x),
            lambda x: x.new_tensor([1.0, 2.0]),
        ],
    )
    def test_finds_the_line(self, wait):
        with HostWaits(Path(__file__).parent) as waits:
            wait(torch.randn(3, 4))
        ((line, count),) = waits.found.items()
        assert line.startswith(f'{Path(__file__).name}:')
        assert count == 1

    def test_takes_slices_and_tensors_for_none(self):
        x, index = torch.randn(3, 4), torch.arange(2)
        with HostWaits(Path(__file__).parent) as waits:
            x[1:], x[index], x.where(x > 0, 0), x.sum() / 3
        assert not waits.found
