"""What the tests of perturbations share: a context made by hand."""

import pytest
import torch

from cct_mm.models.cct.perturbations import PERTURBATIONS, Context, Guidance
from cct_mm.models.cct.perturbations.numbers import Request, StepKey
from cct_mm.models.transfer import send


@pytest.fixture
def make_context():
    """Return a function that makes the context of a perturbation for a map z.

    Its random numbers are those that the perturbation asks for, of as many decoders as wanted.
    """

    def make(
        perturbation,
        z,
        decoders=1,
        weight=None,
        labels=None,
        foreground=None,
        valid=None,
        key=(0, 'camvid', 3),
        samples=None,
        kl_gradient=None,
    ):
        batch, channels, height, width = z.shape
        if labels is None:
            labels = torch.zeros(batch, height, width, dtype=torch.long)
        if valid is None:
            valid = torch.ones(batch, 1, height, width, dtype=torch.bool)
        if foreground is None:
            foreground = (labels > 0).unsqueeze(1)
        if weight is None:
            weight = z.new_ones(decoders, 1, channels)
        shape, numbers = perturbation.numbers(z, weight), None
        if shape is not None:
            samples = range(batch) if samples is None else samples
            *parts, index = send(z.device, *StepKey.parts(key, samples), range(decoders))
            (numbers,) = StepKey(*parts).draw([Request(index, shape, perturbation.shared)])
        guidance = Guidance(labels, foreground & valid, valid)
        return Context(z, weight, guidance, kl_gradient, numbers)

    return make


@pytest.fixture
def registry(monkeypatch):
    """Let a test register perturbations that are gone after it."""
    monkeypatch.setattr(PERTURBATIONS, '_module_dict', dict(PERTURBATIONS.module_dict))
    return PERTURBATIONS
