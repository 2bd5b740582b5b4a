"""Mixed precision on a CPU: bfloat16 in the forward pass, float32 everywhere else."""

import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS

from cct_mm.engine import CPUAmpOptimWrapper
from cct_mm.engine.mixed_precision import enable_amp


def test_is_registered_in_mmengine():
    assert OPTIM_WRAPPERS.get('CPUAmpOptimWrapper') is CPUAmpOptimWrapper


@pytest.fixture
def dtypes(model):
    """The precisions of the encoder's output and of the auxiliary decoders' input, as they pass."""
    seen = {}
    model.backbone.register_forward_hook(
        lambda module, inputs, outputs: seen.update(encoder=outputs[-1].dtype)
    )
    unsupervised_loss = model.unsupervised_loss

    def spy(bank, z, target, terms):
        seen.update(z=z.dtype, target=target.prob.dtype, autocast=torch.is_autocast_enabled('cpu'))
        return unsupervised_loss(bank, z, target, terms)

    model.unsupervised_loss = spy
    return seen


def step(model, data, wrapper_type):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return model.train_step(copy.deepcopy(data), wrapper_type(optimizer))


def test_forward_is_bfloat16_and_the_auxiliary_decoders_are_float32(model, data, dtypes):
    step(model, data, CPUAmpOptimWrapper)
    assert dtypes == dict(
        encoder=torch.bfloat16, z=torch.float32, target=torch.float32, autocast=False
    )


def test_weights_and_gradients_are_float32(model, data):
    before = copy.deepcopy(model.backbone.state_dict())
    gradients = []
    for parameter in model.parameters():
        parameter.register_hook(lambda gradient: gradients.append(gradient.dtype))
    step(model, data, CPUAmpOptimWrapper)
    assert set(gradients) == {torch.float32}
    assert all(value.dtype == torch.float32 for value in model.parameters())
    assert any(
        not torch.equal(value, before[name]) for name, value in model.backbone.named_parameters()
    )


def test_losses_are_close_to_those_in_float32_but_not_equal(model, data):
    plain = step(copy.deepcopy(model), data, OptimWrapper)
    mixed = step(model, data, CPUAmpOptimWrapper)
    assert mixed.keys() == plain.keys()
    for name in ('loss', 'day.loss_ab_ce', 'day.loss_unsupervised'):
        assert mixed[name].dtype == torch.float32
        assert mixed[name].item() == pytest.approx(plain[name].item(), rel=0.05)
        assert mixed[name].item() != plain[name].item()


def test_autocast_ends_with_the_step(model, data):
    step(model, data, CPUAmpOptimWrapper)
    assert not torch.is_autocast_enabled('cpu')


class TestOnAGPU:
    @pytest.fixture(autouse=True)
    def gpu(self, monkeypatch):
        monkeypatch.setattr('torch.cuda.is_available', lambda: True)

    def config(self, **optimizer):
        return Config(dict(optim_wrapper=dict(type='OptimWrapper', optimizer=optimizer)))

    @pytest.mark.parametrize(
        ('precision', 'dtype', 'scaled'),
        [('auto', 'float16', True), ('float16', 'float16', True), ('bfloat16', 'bfloat16', False)],
    )
    def test_only_float16_has_a_loss_scale(self, precision, dtype, scaled):
        cfg = self.config(type='SGD', momentum=0.9)
        enable_amp(cfg, precision)
        wrapper = cfg.optim_wrapper
        assert (wrapper.type, wrapper.dtype) == ('AmpOptimWrapper', dtype)
        assert wrapper.loss_scale == ('dynamic' if scaled else dict(enabled=False))

    def test_float16_is_refused_with_a_fused_sgd(self):
        cfg = self.config(type='SGD', momentum=0.9, fused=True)
        with pytest.raises(SystemExit, match=r'^--amp float16: .* SGD with fused=True .*bfloat16$'):
            enable_amp(cfg, 'auto')

    @pytest.mark.parametrize(
        'optimizer', [dict(type='SGD', fused=True), dict(type='Adam', fused=True)]
    )
    def test_float16_takes_what_it_does_not_spoil(self, optimizer):
        enable_amp(self.config(**optimizer), 'float16')
