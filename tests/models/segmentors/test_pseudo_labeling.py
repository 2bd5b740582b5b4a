"""Pseudo-labels: the main head learns its own classes where it is sure of them."""

import pytest
import torch
from torch.nn import functional as F

WEIGHT = 2.0
INSIDE = (..., slice(20), slice(27))


@pytest.fixture
def step(make_model, make_data, losses_of, outputs_of):
    """Compute losses and gradients of images with padding; return losses and logits."""

    def compute(confidence):
        ramp = dict(final=WEIGHT, length=0.0)
        model = make_model('PseudoLabeling', confidence=confidence, unsupervised_weight=ramp)
        outputs = outputs_of(model.domains['day'].decode_head)
        losses = losses_of(model, make_data('day', size=(20, 27)))
        losses['day.loss_unsupervised'].backward()
        # The labeled images come first; then these, with gradient.
        return losses, outputs[1]

    return compute


@pytest.mark.parametrize('confidence', [0, 0.4])
def test_loss_is_the_cross_entropy_of_sure_pixels_over_all_pixels(step, confidence):
    losses, logits = step(confidence)
    log_prob = logits.detach().double().log_softmax(dim=1)
    best, labels = log_prob.exp().max(dim=1)
    sure = best > confidence
    share = sure[INSIDE].double().mean()
    assert share == 1 if confidence == 0 else 0.05 < share < 0.95
    expected = WEIGHT * (-best.log() * sure)[INSIDE].mean()
    torch.testing.assert_close(losses['day.loss_unsupervised'].double(), expected)
    torch.testing.assert_close(losses['day.labeled_pixels'].double(), 100 * share)
    # p - onehot at each of these pixels: the label itself is held fixed.
    gradient = torch.zeros_like(log_prob)
    onehot = F.one_hot(labels, 3).movedim(3, 1)
    gradient[INSIDE] = ((log_prob.exp() - onehot) * sure[:, None])[INSIDE]
    gradient *= WEIGHT / (2 * 20 * 27)
    torch.testing.assert_close(logits.grad.double(), gradient, rtol=1e-4, atol=1e-9)


def test_unsure_network_learns_nothing_from_itself(step):
    losses, logits = step(0.999)
    assert losses['day.loss_unsupervised'] == 0 and losses['day.labeled_pixels'] == 0
    assert logits.grad.abs().max() == 0


@pytest.mark.parametrize('confidence', [-0.1, 1.0])
def test_confidence_out_of_range(make_model, confidence):
    with pytest.raises(ValueError, match=rf'confidence is {confidence}, expected .* in \[0, 1\)'):
        make_model('PseudoLabeling', confidence=confidence)
