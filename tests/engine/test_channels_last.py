"""The memory format is a matter of speed: losses, gradients and predictions stay the same."""

import copy

import torch
from mmengine.registry import HOOKS

from cct_mm.engine import ChannelsLastHook


def test_is_registered_in_mmengine():
    assert HOOKS.get('ChannelsLastHook') is ChannelsLastHook


def losses_and_gradients(model, data):
    losses = model.loss(**model.data_preprocessor(copy.deepcopy(data), training=True))
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    return losses, {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


def test_changes_the_format_of_the_weights_and_no_result(runner, data):
    plain, model = copy.deepcopy(runner.model), runner.model
    ChannelsLastHook().before_run(runner)
    weights = [p for p in model.parameters() if p.dim() == 4 and p.shape[-1] > 1]
    assert len(weights) > 10
    assert all(w.is_contiguous(memory_format=torch.channels_last) for w in weights)
    assert all(p.is_contiguous() for p in plain.parameters())

    losses, gradients = losses_and_gradients(model, data)
    expected_losses, expected_gradients = losses_and_gradients(plain, data)
    assert gradients.keys() == expected_gradients.keys()
    for name, value in expected_losses.items():
        torch.testing.assert_close(losses[name], value, rtol=1e-4, atol=1e-6)
    for name, value in expected_gradients.items():
        close = torch.allclose(gradients[name], value, rtol=0, atol=1e-3 * value.abs().max())
        assert close, name

    (result, *_), (expected, *_) = (m.eval().test_step(copy.deepcopy(data)) for m in (model, plain))
    torch.testing.assert_close(
        result.seg_logits.data, expected.seg_logits.data, rtol=1e-4, atol=1e-4
    )


def test_checkpoints_fit_both_formats(runner, make_model):
    ChannelsLastHook().before_run(runner)
    other = make_model()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    other.load_state_dict(runner.model.state_dict())
    for loaded, parameter in zip(other.parameters(), runner.model.parameters(), strict=True):
        assert torch.equal(loaded, parameter)
