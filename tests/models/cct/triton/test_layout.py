"""What the kernels read has the order that they assume, and nothing is lost on the way."""

import pytest
import torch
from torch.nn import functional as F

from cct_mm.models.cct.triton.layout import pack, padded, to_leaves
from cct_mm.models.subpixel_head import subpixel_shapes


@pytest.mark.parametrize(
    ('size', 'expected'), [(1, 16), (16, 16), (17, 32), (22, 32), (64, 64), (151, 256)]
)
def test_padded_is_the_next_power_of_two_that_a_product_takes(size, expected):
    assert padded(size) == expected


@pytest.mark.parametrize('doublings', [1, 2, 3])
def test_leaves_are_the_children_of_children(doublings):
    # A map that is shuffled to the image's size: its channels before are the paths, the first
    # shuffle's child slowest.
    leaves = torch.randn(2, 4**doublings, 3, 5, 7)  # [B, 4^n, C, h, w]
    x = leaves
    for level in range(doublings):
        x = x.unflatten(1, (4, -1)) if level < doublings - 1 else x[:, :, None]
        x = x.permute(0, 2, 3, 1, 4, 5)  # [B, rest of the path, C, 4, h, w]
        x = F.pixel_shuffle(x.flatten(2, 3), 2)  # [B, rest of the path, C, 2 h, 2 w]
    expected = leaves.flatten(3).transpose(2, 3)
    found = to_leaves(x[:, 0], doublings, torch.float32)
    assert found.is_contiguous()
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    # One channel alone, without an axis for it.
    found = to_leaves(x[:, 0, 2], doublings, torch.float64)
    torch.testing.assert_close(found, expected[..., 2:].double(), rtol=0, atol=0)


@pytest.mark.parametrize(('channels', 'classes'), [(5, 5), (16, 3), (4, 21)])
@pytest.mark.parametrize('doublings', [1, 2, 4])
def test_packed_layers_are_unpacked_to_what_they_were(channels, classes, doublings):
    shapes = subpixel_shapes(1, channels, classes, doublings)[1:]
    weights = [torch.randn(3, *shape) for shape in shapes]
    biases = [torch.randn(3, shape[0]) for shape in shapes]
    layers = pack(weights, biases)
    width = padded(channels + 1)
    assert layers.packed.shape == (3, 4 * width * ((doublings - 1) * width + padded(classes)))
    torch.testing.assert_close(layers.unpack(layers.packed), (weights, biases), rtol=0, atol=0)
    one = layers.of(slice(2, 3))
    expected = [w[2:] for w in weights], [b[2:] for b in biases]
    torch.testing.assert_close(one.unpack(one.packed), expected, rtol=0, atol=0)


def test_packed_layers_hand_the_channel_of_ones_on():
    shapes = subpixel_shapes(1, 5, 3, 2)[1:]
    weights = [torch.zeros(1, *shape) for shape in shapes]
    biases = [torch.zeros(1, shape[0]) for shape in shapes]
    biases[1][:] = torch.arange(12.0)
    hidden, last = pack(weights, biases).packed[0].split([4 * 16 * 16, 4 * 16 * 16])
    ones = F.one_hot(torch.tensor(5), 16).float()
    for tile in hidden.view(4, 16, 16):
        assert torch.equal(tile @ ones, ones)
    # Row 4 c + s of a layer is channel c of child s.
    for s, tile in enumerate(last.view(4, 16, 16)):
        assert torch.equal((tile @ ones)[:3], torch.tensor([s, 4.0 + s, 8.0 + s]))
