"""The sub-pixel decoder: equal to PyTorch's layers, free of checkerboards, of the right size."""

import pytest
import torch
from mmseg.registry import MODELS
from torch import nn

from cct_mm.models.subpixel_head import SubPixelHead


def head_of(**arguments):
    torch.manual_seed(0)
    return SubPixelHead(5, **{'num_classes': 3, **arguments}).double()


def features(batch=2, channels=5, size=(3, 4), seed=1):
    torch.manual_seed(seed)
    return [torch.randn(batch, channels, *size, dtype=torch.float64)]


def in_layers(head):
    """The same network in PyTorch's own layers, with the head's weights."""
    first, *weights = head.weights
    layers = [nn.Conv2d(first.shape[1], first.shape[0], 1, bias=False)]
    layers[0].weight = nn.Parameter(first.detach()[:, :, None, None])
    for i, (weight, bias) in enumerate(zip(weights, head.biases, strict=True)):
        convolution = nn.Conv2d(weight.shape[1], weight.shape[0], 1)
        convolution.weight = nn.Parameter(weight.detach()[:, :, None, None])
        convolution.bias = nn.Parameter(bias.detach())
        layers += [convolution]
        layers += [nn.ReLU()] if head.last_relu or i < len(weights) - 1 else []
        layers += [nn.PixelShuffle(2)]
    return nn.Sequential(*layers)


@pytest.mark.parametrize('stride', [2, 4, 8, 16])
@pytest.mark.parametrize('last_relu', [False, True])
@pytest.mark.parametrize('channels', [None, 6])
class TestForward:
    def test_equals_pytorch_layers_with_all_gradients(self, stride, last_relu, channels):
        head = head_of(stride=stride, last_relu=last_relu, channels=channels)
        layers = in_layers(head)
        (z,) = features()
        z.requires_grad_()
        found, expected = head([z]), layers(z)
        assert found.shape == (2, 3, 3 * stride, 4 * stride)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)
        grad = torch.randn_like(found)
        found = torch.autograd.grad(found, [z, *head.weights, *head.biases], grad)
        parameters = list(layers.parameters())
        parameters = parameters[:1] + parameters[1::2] + parameters[2::2]
        expected = torch.autograd.grad(expected, [z, *parameters], grad)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other.view_as(one), rtol=1e-10, atol=1e-12)

    def test_every_parameter_is_used(self, stride, last_relu, channels):
        head = head_of(stride=stride, last_relu=last_relu, channels=channels)
        head(features()).sum().backward()
        assert all(p.grad is not None for p in head.parameters())
        assert not any('conv_seg' in name for name in head.state_dict())

    def test_starts_as_nearest_neighbor_upsampling(self, stride, last_relu, channels):
        head = head_of(stride=stride, last_relu=last_relu, channels=channels)
        with torch.no_grad():
            # ICNR ties the weights of the four outputs of a 2x2 block, not their biases.
            for bias in head.biases:
                bias.copy_(bias[::4].repeat_interleave(4))
        logits = head(features())
        corners = logits[..., ::stride, ::stride]
        blocks = corners.repeat_interleave(stride, dim=2).repeat_interleave(stride, dim=3)
        torch.testing.assert_close(logits, blocks, rtol=1e-12, atol=1e-13)
        assert (corners[..., 1:, :] - corners[..., :-1, :]).abs().max() > 1e-3


class TestInitialization:
    def test_biases_are_untied_and_bounded_as_in_pytorch(self):
        for bias in head_of(channels=16, num_classes=8).biases:
            bound = 16**-0.5
            assert len(bias.unique()) == len(bias)
            assert bias.abs().max() <= bound
            assert bias.std().item() == pytest.approx(bound / 3**0.5, rel=0.5)

    def test_weights_have_the_variance_of_kaiming(self):
        torch.manual_seed(0)
        head = SubPixelHead(400, num_classes=64, stride=4, channels=100)
        assert head.weights[0].std().item() == pytest.approx((2 / 400) ** 0.5, rel=0.05)
        for weight in head.weights[1:]:
            assert weight.std().item() == pytest.approx((2 / 100) ** 0.5, rel=0.05)

    def test_mmengine_does_not_draw_the_weights_again(self):
        head = head_of()
        before = {name: value.clone() for name, value in head.state_dict().items()}
        head.init_weights()
        assert all(torch.equal(before[name], value) for name, value in head.state_dict().items())

    def test_reset_draws_anew(self):
        head = head_of()
        before = [p.clone() for p in head.parameters()]
        head.reset_parameters()
        assert not any(torch.equal(p, q) for p, q in zip(before, head.parameters(), strict=True))


class TestArguments:
    def test_hidden_width_is_the_number_of_classes(self):
        shapes = [tuple(w.shape) for w in head_of(stride=8).weights]
        assert shapes == [(3, 5), (12, 3), (12, 3), (12, 3)]

    def test_hidden_width_may_be_larger(self):
        shapes = [tuple(w.shape) for w in head_of(stride=8, channels=10).weights]
        assert shapes == [(10, 5), (40, 10), (40, 10), (12, 10)]

    def test_last_relu_makes_logits_non_negative(self):
        assert head_of(last_relu=True)(features()).min() == 0
        assert head_of(last_relu=False)(features()).min() < 0

    def test_reads_the_map_it_is_told_to(self):
        torch.manual_seed(0)
        head = SubPixelHead(5, num_classes=3, stride=2, in_index=0)
        maps = features()[0].float(), torch.randn(2, 7, 3, 4)
        assert torch.equal(head(maps), head(maps[:1]))

    @pytest.mark.parametrize('stride', [3, 1, 0, 6, -8])
    def test_stride_that_is_no_power_of_two(self, stride):
        message = rf'SubPixelHead: stride is {stride}, .*power of two >= 2.*encoder, 8 for a -d8'
        with pytest.raises(ValueError, match=message):
            SubPixelHead(5, num_classes=3, stride=stride)

    def test_is_built_from_a_config_as_a_decode_head_of_mmseg(self):
        head = MODELS.build(dict(type='SubPixelHead', in_channels=5, num_classes=3, stride=4))
        assert head.stride == 4 and head.num_classes == 3 and head.in_index == -1
        assert head.last_relu is False


def test_dropout_drops_channels_of_z_in_training_alone():
    plain, head = head_of(), head_of(dropout_ratio=0.5)
    inputs = features()
    assert torch.equal(head.eval()(inputs), plain.eval()(inputs))
    torch.manual_seed(0)
    (dropped,) = [nn.Dropout2d(0.5)(z) for z in inputs]
    torch.manual_seed(0)
    assert torch.equal(head.train()(inputs), plain([dropped]))
