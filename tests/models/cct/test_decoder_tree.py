"""The decoders as trees: the same numbers as convolutions and shuffles, in another order."""

from itertools import product

import pytest
import torch

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
    return decoder_tree.to_tree(torch.cat(logits), len(weights)).flatten(2)


class TestToTree:
    @pytest.mark.parametrize('doublings', [1, 2, 3])
    def test_puts_every_pixel_where_its_children_stand(self, doublings):
        # A pixel's way down the tree: the bits of its row and column, coarsest level first.
        side = 2**doublings
        x = torch.arange(2 * 3 * 2 * side * 3 * side).view(2, 3, 2 * side, 3 * side)
        tree = decoder_tree.to_tree(x, doublings)
        assert tree.shape == (2, 3, 4**doublings, 6)
        for row, column in product(range(2 * side), range(3 * side)):
            position = row // side * 3 + column // side
            child = 0
            for level in reversed(range(doublings)):  # the last level is the slowest axis
                bit = doublings - 1 - level
                child = child * 4 + 2 * (row >> bit & 1) + (column >> bit & 1)
            assert torch.equal(tree[:, :, child, position], x[:, :, row, column])

    def test_any_memory_format(self):
        x = torch.randn(2, 3, 8, 12)
        expected = decoder_tree.to_tree(x, 2)
        last = x.contiguous(memory_format=torch.channels_last)
        assert torch.equal(decoder_tree.to_tree(last, 2), expected)
        turned = x.mT.contiguous().mT
        assert torch.equal(decoder_tree.to_tree(turned, 2), expected)


@pytest.mark.parametrize('doublings', [1, 2, 3, 4])
@pytest.mark.parametrize('last_relu', [False, True])
class TestTree:
    def test_forward_equals_the_shuffled_form(self, doublings, last_relu):
        y, weights, biases = network(doublings)
        maps = decoder_tree.forward(y.flatten(2), weights, biases, last_relu)
        expected = plain(y, weights, biases, last_relu)
        assert [m.shape[2] for m in maps] == [12 * 4**i for i in range(doublings + 1)]
        torch.testing.assert_close(maps[-1], expected, rtol=1e-12, atol=1e-12)

    def test_positions_do_not_see_each_other(self, doublings, last_relu):
        y, weights, biases = network(doublings)
        whole = decoder_tree.forward(y.flatten(2), weights, biases, last_relu)[-1]
        some = y.flatten(2)[..., 3:8].contiguous()
        part = decoder_tree.forward(some, weights, biases, last_relu)[-1]
        whole = whole.unflatten(2, (4**doublings, 12))[..., 3:8].flatten(2)
        torch.testing.assert_close(part, whole, rtol=1e-12, atol=1e-12)

    def test_backward_equals_autograd(self, doublings, last_relu):
        y, weights, biases = network(doublings)
        inputs = [y, *weights, *biases]
        for tensor in inputs:
            tensor.requires_grad_()
        logits = plain(y, weights, biases, last_relu)
        grad = torch.randn_like(logits)
        of_y, *expected = torch.autograd.grad(logits, inputs, grad)

        y, *layers = (tensor.detach() for tensor in inputs)
        weights, biases = layers[:doublings], layers[doublings:]
        maps = decoder_tree.forward(y.flatten(2), weights, biases, last_relu)
        # What is there already is added to.
        found = [torch.ones_like(tensor) for tensor in layers]
        back = decoder_tree.backward(
            grad.clone(), maps, weights, last_relu, found[:doublings], found[doublings:]
        )
        tolerance = dict(rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(back, of_y.flatten(2), **tolerance)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one - 1, other, **tolerance)
        alone = decoder_tree.backward(grad.clone(), maps, weights, last_relu)
        assert torch.equal(alone, back)

    def test_tangent_equals_forward_mode_autograd(self, doublings, last_relu):
        y, weights, biases = network(doublings)
        u = torch.randn_like(y)
        _, expected = torch.func.jvp(lambda y: plain(y, weights, biases, last_relu), (y,), (u,))
        maps = decoder_tree.forward(y.flatten(2), weights, biases, last_relu)
        found = decoder_tree.tangent(u.flatten(2), maps, weights, last_relu)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)

    def test_tangent_and_backward_are_transposes(self, doublings, last_relu):
        y, weights, biases = network(doublings)
        maps = decoder_tree.forward(y.flatten(2), weights, biases, last_relu)
        u, grad = torch.randn_like(maps[0]), torch.randn_like(maps[-1])
        pushed = (decoder_tree.tangent(u, maps, weights, last_relu) * grad).sum()
        pulled = (decoder_tree.backward(grad.clone(), maps, weights, last_relu) * u).sum()
        torch.testing.assert_close(pushed, pulled, rtol=1e-10, atol=1e-10)
