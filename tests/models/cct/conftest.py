"""What the tests of perturbations share: a context made by hand."""

import pytest
import torch

from cct_mm.models.cct.perturbations import PERTURBATIONS, Context, Guidance


@pytest.fixture
def make_context():
    """Return a function that makes a context from a map z and, where given, its other parts."""

    def make(
        z,
        weight=None,
        labels=None,
        foreground=None,
        valid=None,
        key=(0, 'camvid', 3, 'name', 0),
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
        return Context(
            z=z,
            weight=z.new_ones(1, channels) if weight is None else weight,
            guidance=Guidance(labels, foreground & valid, valid),
            kl_gradient=kl_gradient,
            key=key,
            samples=list(range(batch)) if samples is None else samples,
        )

    return make


@pytest.fixture
def registry(monkeypatch):
    """Let a test register perturbations that are gone after it."""
    monkeypatch.setattr(PERTURBATIONS, '_module_dict', dict(PERTURBATIONS.module_dict))
    return PERTURBATIONS
