"""The pyramid pooling neck: its formula, its shape, and the batch of one image."""

import pytest
import torch
from mmseg.registry import MODELS
from torch import nn
from torch.nn import functional as F

from cct_mm.models.psp_neck import PSPNeck

SCALES = (1, 2, 3)
BATCH_OF_ONE = (
    r'PSPNeck: .*batch of 1 image.*at least 2.*labeled_per_batch.*batch_size'
    r".*norm_cfg=dict\(type='SyncBN'\)"
)


def neck_of(**arguments):
    torch.manual_seed(0)
    neck = PSPNeck(**{'in_channels': 12, 'out_channels': 5, 'pool_scales': SCALES, **arguments})
    for module in neck.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias)
    return neck


def image(batch=2, size=(7, 9)):
    torch.manual_seed(1)
    return torch.randn(batch, 12, *size)


def conv_norm_relu(x, convolution, norm, padding=0):
    x = F.conv2d(x, convolution.weight, padding=padding)
    x = (x - norm.running_mean[:, None, None]) / (norm.running_var[:, None, None] + 1e-5).sqrt()
    return (x * norm.weight[:, None, None] + norm.bias[:, None, None]).clamp(min=0)


class TestForward:
    def test_equals_its_formula(self):
        neck, x = neck_of().double().eval(), image().double()
        maps = [x]
        for scale, branch in zip(SCALES, neck.pyramid, strict=True):
            pooled = F.adaptive_avg_pool2d(x, scale)
            pooled = conv_norm_relu(pooled, branch[1].conv, branch[1].bn)
            assert pooled.shape[1] == 12 // 3
            maps += [F.interpolate(pooled, (7, 9), mode='bilinear', align_corners=False)]
        merge = neck.bottleneck
        expected = conv_norm_relu(torch.cat(maps, dim=1), merge.conv, merge.bn, padding=1)
        (z,) = neck([x])
        torch.testing.assert_close(z, expected, rtol=1e-10, atol=1e-10)

    @pytest.mark.parametrize('size', [(7, 9), (1, 4), (16, 3)])
    @pytest.mark.parametrize('kernel_size', [1, 3])
    def test_keeps_the_size(self, size, kernel_size):
        (z,) = neck_of(kernel_size=kernel_size)([image(size=size)])
        assert z.shape == (2, 5, *size)

    def test_reads_the_map_it_is_told_to(self):
        maps = [torch.randn(2, 3, 5, 5), image(), torch.randn(2, 30, 2, 2)]
        neck = neck_of(in_index=1).eval()
        assert torch.equal(neck(maps)[0], neck([None, image()])[0])

    @pytest.mark.parametrize('align_corners', [False, True])
    def test_equals_mmsegs_pyramid(self, align_corners):
        neck = neck_of(align_corners=align_corners).double().eval()
        x = image().double().to(memory_format=torch.channels_last)
        merged = neck.bottleneck(torch.cat([x, *neck.pyramid(x)], dim=1))
        torch.testing.assert_close(neck([x])[0], merged, rtol=1e-10, atol=1e-10)

    def test_keeps_the_names_of_mmsegs_pyramid(self):
        names = {name.partition('.bn')[0].partition('.conv.')[0] for name in neck_of().state_dict()}
        levels = {f'pyramid.{i}.1' for i in range(len(SCALES))}
        assert names == {*levels, 'bottleneck'}

    def test_every_parameter_is_used(self):
        neck = neck_of()
        neck([image()])[0].sum().backward()
        assert all(p.grad is not None for p in neck.parameters())

    def test_paper_sizes_are_the_default(self):
        neck = MODELS.build(dict(type='PSPNeck'))
        assert neck.bottleneck.conv.weight.shape == (512, 2 * 2048, 3, 3)


def test_init_cfg_decides_about_its_convolutions():
    # PyTorch's default: uniform with a bound of 1 / sqrt(fan in).
    cfg = dict(type='Kaiming', layer='Conv2d', a=5**0.5, distribution='uniform')
    neck = neck_of(init_cfg=cfg | dict(mode='fan_in', nonlinearity='leaky_relu'))
    neck.init_weights()
    for module in neck.modules():
        if isinstance(module, nn.Conv2d):
            bound = module.weight[0].numel() ** -0.5
            assert 0.8 * bound < module.weight.abs().max() <= bound
            assert module.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.3)


class TestBatchOfOne:
    def test_is_refused_in_training_only(self):
        neck = neck_of()
        with pytest.raises(ValueError, match=BATCH_OF_ONE):
            neck([image(batch=1)])
        assert neck.eval()([image(batch=1)])[0].shape == (1, 5, 7, 9)

    def test_is_allowed_where_nothing_is_normalized_over_the_batch(self):
        neck = neck_of(norm_cfg=dict(type='GN', num_groups=1))
        assert neck([image(batch=1)])[0].shape == (1, 5, 7, 9)
        frozen = neck_of()
        for module in frozen.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        assert frozen([image(batch=1)])[0].shape == (1, 5, 7, 9)

    def test_is_allowed_without_pooling_to_one_value(self):
        neck = neck_of(pool_scales=(2, 3))
        assert neck([image(batch=1)])[0].shape == (1, 5, 7, 9)
