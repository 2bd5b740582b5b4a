"""Parts of a group: every decoder in one, those of one form together."""

import pytest
import torch

from cct_mm import testing
from cct_mm.models.cct.parts import Drawing, Part, assemble, cut, join_states, runs_of
from cct_mm.models.cct.perturbations.numbers import StepKey
from cct_mm.models.transfer import send

MIX = ['F-Noise', 'F-Drop', 'DropOut', 'G-Cutout', 'Obj-Msk', 'I-VAT', 'Con-Msk']


@torch.no_grad()
def drawn(copies):
    """The parts of a group of two decoders of each kind, and the step."""
    step = testing.example_step(*(dict(type=name, num=2) for name in MIX))
    parts = StepKey.parts(step.target.key, step.target.samples)
    *key, index = send(step.z.device, *parts, range(len(step.bank)))

    def no_change(z, first, decoders):
        return lambda u, at_zero: torch.zeros_like(u)

    guidance = step.target.guidance(step.z.shape[2:])
    drawing = Drawing(step.z, step.bank.weights[0], index, guidance, StepKey(*key), None, no_change)
    return drawing.parts(step.bank.perturbations, copies), step


@pytest.mark.parametrize(('copies', 'of_noise'), [(1, 2), (2, 1), (None, 1)])
def test_one_part_for_each_form_and_the_copies_that_fit(copies, of_noise):
    parts, step = drawn(copies)
    names = [sorted({step.bank.names[run.start] for run in part.runs}) for part in parts]
    masks = ['Con-Msk', 'F-Drop', 'G-Cutout', 'Obj-Msk']
    assert sorted(names) == sorted([['F-Noise']] * of_noise + [['DropOut'], ['I-VAT'], masks])
    places = [k for part in parts for run in part.runs for k in range(14)[run]]
    assert sorted(places) == list(range(14))


def test_what_is_taken_apart_is_assembled_again():
    parts, _ = drawn(1)
    values = torch.arange(28).view(14, 2)
    assert torch.equal(assemble(parts, [part.take(values) for part in parts]), values)


def test_a_joined_state_is_each_decoders_own():
    parts, step = drawn(1)
    (masks,) = [part for part in parts if len(part.runs) > 1]
    perturbed = assemble([masks], [masks.perturbation.perturb(step.z, masks.state)])
    places = [k for run in masks.runs for k in range(14)[run]]
    for own, k in zip(perturbed, places, strict=True):
        expected = step.bank.perturbations[k].perturb(step.z, step.draw(k))[0]
        assert torch.equal(own, expected), step.bank.names[k]


def test_join_states_expands_what_is_shared():
    shared, own = torch.ones(1, 2, 1, 3), torch.zeros(2, 1, 4, 1)
    joined = join_states([shared, own], [3, 2])
    assert joined.shape == (5, 2, 4, 3)
    assert joined[:3].eq(1).all() and joined[3:].eq(0).all()
    pair = join_states([(shared, own[:1]), (shared, own[:1])], [1, 1])
    assert [entry.shape for entry in pair] == [(2, 2, 1, 3), (2, 1, 4, 1)]


def test_runs_and_cuts():
    one, other = object(), object()
    assert runs_of([one, one, other, one]) == [
        (slice(0, 2), one),
        (slice(2, 3), other),
        (slice(3, 4), one),
    ]
    assert cut(slice(2, 7), 2) == [slice(2, 4), slice(4, 6), slice(6, 7)]
    assert cut(slice(2, 7), None) == [slice(2, 7)]


def test_one_run_is_a_view():
    values = torch.zeros(5, 2)
    Part([slice(1, 3)], None, None).take(values).add_(1)
    assert values[:, 0].tolist() == [0, 1, 1, 0, 0]
