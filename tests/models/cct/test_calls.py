"""The plan of a GPU makes as many calls for few decoders and images as for many, in one chunk."""

import pytest
import torch

from cct_mm import testing
from cct_mm.lab.benchmark.calls import CallCounter
from cct_mm.models.cct import consistency_fused
from cct_mm.models.cct.plan import gpu_plan

# The paper's mix of 30 decoders.
MIX = {'F-Noise': 6, 'F-Drop': 6, 'DropOut': 6, 'G-Cutout': 6, 'Obj-Msk': 2, 'Con-Msk': 2}
MIX['I-VAT'] = 2


def calls_of(times=1, **example):
    """Calls of the auxiliary part, forward and backward, with so many times 30 decoders."""
    entries = [dict(type=name, num=times * count) for name, count in MIX.items()]
    small = dict(stride=8, size=(6, 6), in_channels=16, num_classes=5, dtype=torch.float32)
    step = testing.example_step(*entries, **{**small, **example})
    step.z.requires_grad_()
    plan = gpu_plan(len(step.z))
    with CallCounter() as calls:
        consistency_fused(step.bank, step.z, step.target, step.terms, plan).total.backward()
    return calls


@pytest.mark.parametrize(
    'options', [{}, dict(pairwise=8, weak=0.4, confidence=0.5, padding=True)], ids=str
)
def test_calls_grow_neither_with_the_decoders_nor_with_the_images(options):
    few = calls_of(batch=2, **options)
    assert calls_of(batch=10, **options).by_name == few.by_name
    assert calls_of(times=8, batch=2, **options).by_name == few.by_name


def test_there_are_few_of_them():
    assert calls_of(batch=2).total <= 280


def test_nothing_waits_for_a_value():
    waits = {'_local_scalar_dense', 'nonzero', 'is_nonzero', 'equal', 'item', '_unique2'}
    names = {name.removeprefix('aten::') for name in calls_of(pairwise=8, weak=0.4).by_name}
    assert not names & waits
