"""The decoders as trees: the same numbers as convolutions and shuffles, in another order."""

from itertools import product

import pytest
import torch
from torch.nn import functional as F

from cct_mm.models.cct import decoder_tree
from cct_mm.models.subpixel_head import subpixel_decode, subpixel_shapes


def network(doublings, decoders=2, channels=5, classes=3, seed=0):
    torch.manual_seed(seed)
    shapes = subpixel_shapes(4, channels, classes, doublings)[1:]
    weights = [torch.randn(decoders, *shape, dtype=torch.float64) for shape in shapes]
    biases = [torch.randn(decoders, shape[0], dtype=torch.float64) for shape in shapes]
    y = torch.randn(decoders, channels, 3, 4, dtype=torch.float64)
    return y, weights, biases


def plain(y, weights, biases, last_relu):
    """Decoder after decoder with shuffles, then brought into tree order: [G, C, 4^n P]."""
    logits = [
        subpixel_decode(y[g : g + 1], [w[g] for w in weights], [b[g] for b in biases], last_relu)
        for g in range(len(y))
    ]
    return torch.stack([decoder_tree.to_tree(one, len(weights)) for one in logits])


class TestToTree:
    @pytest.mark.parametrize('doublings', [1, 2, 3])
    def test_puts_every_pixel_where_its_children_stand(self, doublings):
        # A pixel's way down the tree: the bits of its row and column, coarsest level first.
        side = 2**doublings
        x = torch.arange(4 * 3 * 2 * side * 3 * side).view(4, 3, 2 * side, 3 * side)
        tree = decoder_tree.to_tree(x, doublings).view(3, 4**doublings, 4, 6)
        for row, column in product(range(2 * side), range(3 * side)):
            position = row // side * 3 + column // side
            child = 0
            for level in reversed(range(doublings)):  # the last level is the slowest axis
                bit = doublings - 1 - level
                child = child * 4 + 2 * (row >> bit & 1) + (column >> bit & 1)
            assert torch.equal(tree[:, child, :, position], x[:, :, row, column].T)

    def test_any_memory_layout(self):
        x = torch.randn(2, 3, 8, 12)
        expected = decoder_tree.to_tree(x, 2)
        channels_last = x.contiguous(memory_format=torch.channels_last)
        assert torch.equal(decoder_tree.to_tree(channels_last, 2), expected)
        assert torch.equal(decoder_tree.to_tree(x.mT.contiguous().mT, 2), expected)


@pytest.fixture(params=[1, 2, 3, 4], ids='{} doublings'.format)
def doublings(request):
    return request.param


@pytest.fixture
def prepared(doublings):
    """The map y as the tree's input and as it is, the layers, and what they are made of."""
    y, weights, biases = network(doublings)
    layers = decoder_tree.with_bias(weights, biases)
    return decoder_tree.with_ones(y.flatten(2)), layers, y, weights, biases


class TestBias:
    def test_is_found_again_where_it_was_put(self, prepared):
        _, layers, _, weights, biases = prepared
        found = decoder_tree.without_bias(layers)
        for one, other in zip([*found[0], *found[1]], [*weights, *biases], strict=True):
            assert torch.equal(one, other)

    def test_ones_stay_ones(self, prepared, doublings):
        x, layers, *_ = prepared
        for values in decoder_tree.forward(x, layers, last_relu=False)[:-1]:
            assert (values[:, -1] == 1).all()


@pytest.mark.parametrize('last_relu', [False, True])
class TestTree:
    def test_forward_equals_the_shuffled_form(self, prepared, doublings, last_relu):
        x, layers, y, weights, biases = prepared
        maps = decoder_tree.forward(x, layers, last_relu)
        expected = plain(y, weights, biases, last_relu)
        assert [m.shape[2] for m in maps] == [12 * 4**i for i in range(doublings + 1)]
        torch.testing.assert_close(maps[-1], expected, rtol=1e-12, atol=1e-12)

    def test_positions_do_not_see_each_other(self, prepared, doublings, last_relu):
        x, layers, *_ = prepared
        whole = decoder_tree.forward(x, layers, last_relu)[-1]
        part = decoder_tree.forward(x[..., 3:8], layers, last_relu)[-1]
        whole = whole.unflatten(2, (4**doublings, 12))[..., 3:8].flatten(2)
        torch.testing.assert_close(part, whole, rtol=1e-12, atol=1e-12)

    def test_backward_equals_autograd(self, prepared, doublings, last_relu):
        x, layers, *inputs = prepared
        y, weights, biases = inputs
        learned = [y, *weights, *biases]
        for tensor in learned:
            tensor.requires_grad_()
        logits = plain(y, weights, biases, last_relu)
        grad = torch.randn_like(logits)
        of_y, *expected = torch.autograd.grad(logits, learned, grad)

        maps = decoder_tree.forward(x, layers, last_relu)
        # The gradients are added to what the tensors contain.
        found = [torch.ones_like(layer.mT) for layer in layers]
        back = decoder_tree.backward(grad.clone(), maps, layers, last_relu, found)
        tolerance = dict(rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(back[:, :-1], of_y.flatten(2), **tolerance)
        of_weights, of_biases = decoder_tree.without_bias([grad.mT for grad in found])
        for one, other in zip([*of_weights, *of_biases], expected, strict=True):
            torch.testing.assert_close(one - 1, other, **tolerance)
        alone = decoder_tree.backward(grad.clone(), maps, layers, last_relu)
        assert torch.equal(alone, back)

    def test_tangent_equals_forward_mode_autograd(self, prepared, last_relu):
        x, layers, y, weights, biases = prepared
        u = torch.randn_like(y)
        _, expected = torch.func.jvp(lambda y: plain(y, weights, biases, last_relu), (y,), (u,))
        maps = decoder_tree.forward(x, layers, last_relu)
        found = decoder_tree.tangent(F.pad(u.flatten(2), (0, 0, 0, 1)), maps, layers, last_relu)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)

    def test_tangent_and_backward_are_transposes(self, prepared, last_relu):
        x, layers, *_ = prepared
        maps = decoder_tree.forward(x, layers, last_relu)
        u, grad = torch.randn_like(maps[0]), torch.randn_like(maps[-1])
        pushed = (decoder_tree.tangent(u, maps, layers, last_relu) * grad).sum()
        pulled = (decoder_tree.backward(grad.clone(), maps, layers, last_relu) * u).sum()
        torch.testing.assert_close(pushed, pulled, rtol=1e-10, atol=1e-10)
