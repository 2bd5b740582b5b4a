"""Entropy minimization: predictions on unlabeled images become certain."""

import torch
from mmengine.optim import OptimWrapper

WEIGHT = 2.0
NO_RAMP = dict(final=WEIGHT, length=0.0)


def test_loss_is_the_mean_entropy_over_the_pixels_of_the_images(
    make_model, make_data, losses_of, outputs_of
):
    model = make_model('EntropyMinimization', unsupervised_weight=NO_RAMP)
    outputs = outputs_of(model.domains['day'].decode_head)
    losses = losses_of(model, make_data('day', size=(20, 27)))
    losses['day.loss_unsupervised'].backward()
    # The labeled images come first.
    logits = outputs[1]
    assert logits.shape[2:] == (32, 32)
    inside = (..., slice(20), slice(27))
    log_prob = logits.detach().double().log_softmax(dim=1)
    entropy = -(log_prob.exp() * log_prob).sum(dim=1, keepdim=True)
    expected = WEIGHT * entropy[inside].mean()
    torch.testing.assert_close(losses['day.loss_unsupervised'].double(), expected)
    # dH / dlogits = -p (log p + H), and nothing on padding.
    pixels = 2 * 20 * 27
    gradient = torch.zeros_like(log_prob)
    gradient[inside] = (-log_prob.exp() * (log_prob + entropy))[inside] * WEIGHT / pixels
    torch.testing.assert_close(logits.grad.double(), gradient, rtol=1e-4, atol=1e-9)


def test_makes_predictions_certain(make_model, make_data):
    model = make_model('EntropyMinimization', unsupervised_weight=NO_RAMP).train()
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9))
    values = [model.train_step(make_data('day'), wrapper) for _ in range(15)]
    entropy = [value['day.loss_unsupervised'].item() for value in values]
    assert entropy[-1] < 0.8 * entropy[0]
