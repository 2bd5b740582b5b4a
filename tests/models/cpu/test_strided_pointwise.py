"""Strided 1x1 convolutions give the values and gradients of a plain sum, and end no process."""

import copy
import pickle
import subprocess
import sys

import pytest
import torch
from mmcv.cnn.bricks.conv_ws import ConvWS2d
from mmcv.cnn.bricks.wrappers import Conv2d as WrappedConv2d
from mmseg.registry import MODELS
from torch import nn

from cct_mm.models.cpu import use_cpu_convolutions
from cct_mm.models.cpu.dilated_depthwise import DilatedDepthwise
from cct_mm.models.cpu.strided_pointwise import WIDTH, StridedPointwise, use_strided_pointwise


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def converted(conv):
    conv = copy.deepcopy(conv)
    use_strided_pointwise(conv)
    return conv


def value_and_gradients(conv, x):
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    y = conv(x)
    weights = torch.linspace(-1, 2, y.numel()).reshape(y.shape).to(y)
    return [y, *torch.autograd.grad((y * weights).sum(), [x, *conv.parameters()])]


# Contiguous and in double precision, ordinary convolutions are right.
@pytest.mark.parametrize('kind', [nn.Conv2d, WrappedConv2d, ConvWS2d])
@pytest.mark.parametrize('size', [(8, 12), (7, 9), (1, 2)])
@pytest.mark.parametrize(
    'options',
    [
        dict(stride=2),
        dict(stride=2, bias=False),
        dict(stride=(1, 3)),
        dict(stride=2, padding=1),
        dict(stride=(3, 2), padding=(0, 1), groups=2),
        dict(stride=2, groups=3),
        dict(stride=2, dilation=2),
        dict(stride=2, padding='valid'),
    ],
    ids=lambda options: ' '.join(f'{k}={v}' for k, v in options.items()),
)
def test_equals_the_ordinary_convolution_in_value_and_gradients(options, size, kind):
    plain = kind(6, 12, 1, **options).double()
    ours = converted(plain)
    assert isinstance(ours, StridedPointwise)
    x = torch.randn(2, 6, *size, dtype=torch.double)
    for found, expected in zip(
        value_and_gradients(ours, x), value_and_gradients(plain, x), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    # As before and as without gradients.
    assert ours.stride == plain.stride
    assert ours.padding == plain.padding
    with torch.no_grad():
        torch.testing.assert_close(ours(x), plain(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize('mode', ['reflect', 'replicate', 'circular'])
def test_pads_as_the_ordinary_convolution_does(mode):
    plain = nn.Conv2d(3, 4, 1, stride=2, padding=(1, 2), padding_mode=mode).double()
    x = torch.randn(2, 3, 7, 8, dtype=torch.double)
    pairs = zip(
        value_and_gradients(converted(plain), x), value_and_gradients(plain, x), strict=True
    )
    for found, expected in pairs:
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


TRUE_GRADIENTS = """
import itertools
import torch
from torch import nn
from cct_mm.models.cpu import use_cpu_convolutions

torch.manual_seed(0)
precisions = (torch.float32, 1e-5), (torch.bfloat16, 3e-2)
for threads, (dtype, tolerance) in itertools.product((1, 2), precisions):
    torch.set_num_threads(threads)
    for channels, groups, stride in (1, 1, 2), (3, 1, 2), (8, 1, 2), (8, 2, 2), (15, 1, (2, 1)):
        conv = nn.Conv2d(channels * groups, 16 * groups, 1, stride=stride, groups=groups)
        conv = conv.to(memory_format=torch.channels_last)
        use_cpu_convolutions(conv)
        for size in (8, 12), (33, 47):
            x = torch.randn(3, channels * groups, *size).to(memory_format=torch.channels_last)
            x.requires_grad_()
            with torch.autocast('cpu', torch.bfloat16, enabled=dtype is torch.bfloat16):
                y = conv(x)
            assert y.dtype is dtype
            upper = torch.randn_like(y)
            found = torch.autograd.grad(y, (conv.weight, x), upper)
            rows, columns = conv.stride
            seen = x.detach()[..., ::rows, ::columns].double()
            seen = seen.unflatten(1, (groups, channels))
            upper = upper.double().unflatten(1, (groups, 16))
            weight = conv.weight.detach().double().reshape(groups, 16, channels)
            of_weight = torch.einsum('ngohw,ngihw->goi', upper, seen).reshape(conv.weight.shape)
            of_x = torch.zeros(x.shape, dtype=torch.double)
            of_x[..., ::rows, ::columns] = torch.einsum(
                'ngohw,goi->ngihw', upper, weight
            ).flatten(1, 2)
            for ours, true in zip(found, (of_weight, of_x), strict=True):
                error = (ours.double() - true).abs().max() / true.abs().max()
                assert error < tolerance, (dtype, channels, groups, stride, size, error)
print('right')
"""


def test_gradients_of_narrow_layers_are_the_true_ones():
    # A process of its own: an ordinary convolution would end it, and the other tests with it.
    command = [sys.executable, '-c', TRUE_GRADIENTS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.endswith('right\n')


@pytest.mark.parametrize(
    'conv',
    [
        nn.Conv2d(8, 8, 1),
        nn.Conv2d(8, 8, 3, stride=2),
        nn.Conv2d(WIDTH, 8, 1, stride=2),
        nn.Conv2d(2 * WIDTH, 8, 1, stride=2, groups=2),
        nn.Conv1d(8, 8, 1, stride=2),
    ],
    ids=['unstrided', '3x3', 'wide', 'wide groups', 'of one axis'],
)
def test_other_convolutions_stay_as_they_are(conv):
    assert type(converted(conv)) is type(conv)


def test_weights_keep_their_names_and_a_second_conversion_changes_nothing():
    conv = WrappedConv2d(4, 4, 1, stride=2)
    before = dict(conv.named_parameters())
    use_strided_pointwise(conv)
    kind = type(conv)
    use_strided_pointwise(conv)
    assert type(conv) is kind
    assert isinstance(conv, WrappedConv2d)
    assert list(conv.state_dict()) == list(before)
    assert all(p is before[name] for name, p in conv.named_parameters())


def test_an_ordinary_convolution_is_pickled_as_before():
    conv = converted(nn.Conv2d(4, 4, 1, stride=2))
    again = pickle.loads(pickle.dumps(conv))
    assert torch.equal(again.weight, conv.weight)


@pytest.mark.parametrize('segmentor', ['SupervisedSegmentor', 'CCT', 'ImageClassifier'])
def test_every_segmentor_converts_all_that_it_trains(segmentor):
    kinds = dict(
        backbone=dict(type='ResNetV1c', depth=18, base_channels=8),
        decode_head=dict(type='SubPixelHead', in_channels=64),
        domains=dict(day=dict(classes=('sky', 'car')), night=dict(classes=('sky', 'lamp'))),
        discriminator=dict(in_channels=64, channels=(8,)),
    )
    if segmentor == 'CCT':
        kinds['auxiliary'] = dict(in_channels=64, perturbations=[dict(type='DropOut')])
    if segmentor == 'ImageClassifier':
        kinds['decode_head'] = dict(type='ClassificationHead', in_channels=64)
    model = MODELS.build(dict(type=segmentor, **kinds))
    keys = list(model.state_dict())
    model.extra = nn.ModuleList(
        [nn.Conv2d(8, 8, 1, stride=2), nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4)]
    )
    model.train()
    assert isinstance(model.extra[0], StridedPointwise)
    assert isinstance(model.extra[1], DilatedDepthwise)
    strided = [
        m
        for m in model.modules()
        if isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1) and max(m.stride) > 1
    ]
    narrow = [m for m in strided if m.in_channels < WIDTH]
    assert len(narrow) == 3
    assert all(isinstance(m, StridedPointwise) for m in narrow)
    assert [key for key in model.state_dict() if not key.startswith('extra')] == keys


def test_one_call_makes_both_conversions():
    both = nn.Sequential(
        nn.Conv2d(8, 8, 1, stride=2), nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4)
    )
    use_cpu_convolutions(both)
    assert [type(m) for m in both] == [StridedPointwise, DilatedDepthwise]
