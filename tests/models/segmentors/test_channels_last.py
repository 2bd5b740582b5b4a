"""The memory format is a matter of speed: losses, gradients and predictions stay the same."""

import copy

import pytest
import torch


@pytest.fixture
def models(make_model):
    """One model in both formats: channels last and as PyTorch makes them."""
    return [make_model(channels_last=channels_last) for channels_last in (True, False)]


def losses_and_gradients(model, data, losses_of):
    losses = losses_of(model, copy.deepcopy(data))
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    return losses, {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


def test_changes_the_format_of_the_weights_and_no_result(models, make_data, losses_of):
    model, plain = models
    weights = [p for p in model.parameters() if p.dim() == 4 and p.shape[-1] > 1]
    assert len(weights) > 10
    assert all(w.is_contiguous(memory_format=torch.channels_last) for w in weights)
    assert all(p.is_contiguous() for p in plain.parameters())

    data = make_data()
    losses, gradients = losses_and_gradients(model, data, losses_of)
    expected_losses, expected_gradients = losses_and_gradients(plain, data, losses_of)
    assert gradients.keys() == expected_gradients.keys()
    for name, value in expected_losses.items():
        torch.testing.assert_close(losses[name], value, rtol=1e-4, atol=1e-6)
    for name, value in expected_gradients.items():
        close = torch.allclose(gradients[name], value, rtol=0, atol=1e-3 * value.abs().max() + 1e-9)
        assert close, name

    (result, *_), (expected, *_) = (m.eval().test_step(copy.deepcopy(data)) for m in models)
    torch.testing.assert_close(
        result.seg_logits.data, expected.seg_logits.data, rtol=1e-4, atol=1e-4
    )


def test_checkpoints_fit_both_formats(models):
    model, other = models
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    other.load_state_dict(model.state_dict())
    for loaded, parameter in zip(other.parameters(), model.parameters(), strict=True):
        assert torch.equal(loaded, parameter)
