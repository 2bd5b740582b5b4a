"""L_u computed in Triton equals the reference path: all values and all gradients."""

import pytest
import torch

from cct_mm import testing
from cct_mm.lab.benchmark.calls import CallCounter
from cct_mm.models.cct import consistency_fused, consistency_reference
from cct_mm.models.cct.perturbations import PERTURBATIONS
from cct_mm.models.cct.plan import Plan, triton_plan

pytest.importorskip('triton')

PLAN = Plan(group_size=None, chunk_elements=0, copies=None, precision='ieee')
NAMES = sorted(PERTURBATIONS.module_dict)


def computed(entries, example, device='cpu'):
    """What the kernels compute, where they are interpreted or on a GPU."""
    step = testing.example_step(*entries, device=device, **example)
    found = testing.losses_and_gradients(consistency_fused, step, plan=PLAN)
    return {name: value.cpu() for name, value in found.items()}


def assert_equals_reference(run, *entries, **example):
    example = {'dtype': torch.float32, 'size': (3, 4), 'batch': 2, **example}
    found = run(computed, entries, example)
    step = testing.example_step(*entries, **example)
    expected = testing.losses_and_gradients(consistency_reference, step)
    testing.assert_all_close(found, expected, 1e-4)


@pytest.fixture(params=['interpreter', *['gpu'] * torch.cuda.is_available()])
def run(request):
    if request.param == 'interpreter':
        return request.getfixturevalue('interpreter')
    return lambda function, *arguments: function(*arguments, device='cuda')


@pytest.mark.parametrize('distance', ['mse', 'kl', 'js'])
def test_every_perturbation(run, distance):
    entries = [dict(type=name, num=2) for name in NAMES]
    assert_equals_reference(run, *entries, distance=distance, padding=True)


def test_with_hard_labels(run):
    assert_equals_reference(run, dict(type='F-Drop', num=2), distance='kl', hard_labels=True)


def test_with_everything_on(run):
    entries = [dict(type=name) for name in NAMES]
    options = dict(confidence=0.6, pairwise=3, weak=0.4, padding=True, last_relu=True, channels=6)
    assert_equals_reference(run, *entries, distance='js', over_classes='sum', **options)


def test_with_shared_weights(run):
    assert_equals_reference(run, dict(type='F-Noise'), dict(type='I-VAT'), shared=True)


def test_what_does_not_fit_falls_back_and_says_why():
    step = testing.example_step(dict(type='F-Drop'), dtype=torch.float32)
    with pytest.warns(UserWarning, match='computes in PyTorch.* cpu'):
        plan = triton_plan(step.bank, step.z, 'ieee')
    assert plan.precision is None


def calls_and_launches(decoders, images):
    """Calls of the auxiliary part, forward and backward, and how many of them launch a kernel."""
    from torch.utils._python_dispatch import _disable_current_modes
    from triton.runtime.interpreter import GridExecutor

    entries = [dict(type=name, num=decoders) for name in NAMES]
    step = testing.example_step(*entries, dtype=torch.float32, size=(3, 4), batch=images)
    step.z.requires_grad_()
    launch, launches = GridExecutor.__call__, []

    def counted(kernel, *arguments, **options):
        launches.append(kernel)
        # What the interpreter computes a kernel with is none of our calls.
        with _disable_current_modes():
            return launch(kernel, *arguments, **options)

    GridExecutor.__call__ = counted
    try:
        for _ in range(2):  # the first time makes what is kept
            launches.clear()
            with CallCounter() as calls:
                consistency_fused(step.bank, step.z, step.target, step.terms, PLAN).total.backward()
    finally:
        GridExecutor.__call__ = launch
    return calls.total, len(launches)


def test_calls_grow_neither_with_the_decoders_nor_with_the_images(interpreter):
    found = {interpreter(calls_and_launches, *sizes) for sizes in ((2, 2), (4, 2), (2, 4))}
    assert len(found) == 1
    ((calls, launches),) = found
    assert launches == 6
    assert calls + launches <= 160
