"""The kernel equals autograd through the readable decoder and losses, with every option."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from cct_mm.labels import IGNORE_INDEX
from cct_mm.models.losses import (
    ConsistencyLoss,
    PairwiseLoss,
    weak_cross_entropy,
    weak_position_weight,
)
from cct_mm.models.subpixel_head import subpixel_decode, subpixel_shapes

pytest.importorskip('triton')

from cct_mm.models.cct.triton.decoder_pass import decoder_pass
from cct_mm.models.cct.triton.layout import pack

DISTANCE_FACTOR, WEAK_FACTOR, PAIRWISE_FACTOR = 0.8, 0.3, 1.7
"""Of the losses in the sum whose gradient is computed."""


@dataclass
class Example:
    """Decoders and targets made up at random, with options to switch on."""

    classes: int = 5
    channels: int = 5
    doublings: int = 1
    count: int = 3
    batch: int = 2
    size: tuple[int, int] = (3, 5)
    distance: str = 'mse'
    weak: bool = False
    pairwise: bool = False
    confidence: bool = False
    padding: bool = False
    last_relu: bool = False
    scale: float = 1.0

    def __post_init__(self):
        height, width = (side * 2**self.doublings for side in self.size)
        shapes = subpixel_shapes(1, self.channels, self.classes, self.doublings)[1:]
        # Of zero mean and spread 1 at every layer, so that each ReLU is open and closed.
        self.weights = [torch.randn(self.count, *s) * (2 / s[1]) ** 0.5 for s in shapes]
        self.biases = [0.3 * torch.randn(self.count, s[0]) for s in shapes]
        self.y = self.scale * torch.randn(self.count, self.batch, self.channels, *self.size)
        self.prob = (2 * torch.randn(self.batch, self.classes, height, width)).softmax(dim=1)
        self.valid = torch.ones(self.batch, 1, height, width, dtype=torch.bool)
        if self.padding:
            self.valid[-1, :, :, width // 2 :] = False
        self.loss = ConsistencyLoss(self.distance, confidence=0.5 if self.confidence else None)
        self.weight = self.loss.position_weight(self.prob, self.valid)
        self.labels = torch.randint(self.classes, (self.batch, height, width))
        self.labels[:, : height // 3] = IGNORE_INDEX
        self.weak_weight = weak_position_weight(self.labels, self.valid, torch.float32)
        self.compared = (torch.arange(self.count) != 1).float()

    def arguments(self):
        """Return the arguments of ``decoder_pass``, by position and by name."""
        options = dict(distance=self.distance, distance_factor=DISTANCE_FACTOR)
        if self.weak:
            options.update(labels=self.labels, weak_position_weight=self.weak_weight)
            options.update(weak_factor=WEAK_FACTOR)
        if self.pairwise:
            options.update(
                share=self.compared / self.compared.sum(), pairwise_factor=PAIRWISE_FACTOR
            )
        layers = pack(self.weights, self.biases)
        return (self.y, layers, self.last_relu, self.prob, self.weight), options

    def expected(self) -> tuple[list[Tensor], list[Tensor]]:
        """Return the losses and the gradients of y, the weights and the biases."""
        inputs = [self.y, *self.weights, *self.biases]
        inputs = [x.double().requires_grad_() for x in inputs]
        y, weights, biases = inputs[0], inputs[1 : 1 + self.doublings], inputs[-self.doublings :]
        logits = torch.stack(
            [
                subpixel_decode(
                    y[k], [w[k] for w in weights], [b[k] for b in biases], self.last_relu
                )
                for k in range(self.count)
            ]
        )
        prob, weight = self.prob.double(), self.weight.double()
        distances = torch.stack([self.loss(prob, x, weight) for x in logits])
        total = DISTANCE_FACTOR * distances.sum()
        weak = pairwise = None
        if self.weak:
            weak = torch.stack(
                [weak_cross_entropy(x, self.labels, self.weak_weight) for x in logits]
            )
            total = total + WEAK_FACTOR * weak.sum()
        if self.pairwise:
            pairwise = PairwiseLoss()(logits[self.compared > 0], weight)
            total = total + PAIRWISE_FACTOR * pairwise
        losses = [
            None if loss is None else loss.detach().float() for loss in (distances, weak, pairwise)
        ]
        return losses, [x.float() for x in torch.autograd.grad(total, inputs)]


def assert_equals_autograd(run, **options):
    example = Example(**options)
    arguments, options = example.arguments()
    found = run(decoder_pass, *arguments, **options)
    losses, gradients = example.expected()
    torch.testing.assert_close(
        [found.distances, found.weak, found.pairwise], losses, rtol=1e-4, atol=1e-7
    )
    for x, y in zip(
        [found.grad_y, *found.grad_weights, *found.grad_biases], gradients, strict=True
    ):
        # Sums of many terms of either sign: the largest tells how far rounding may take each.
        torch.testing.assert_close(x, y, rtol=1e-4, atol=2e-6 * y.abs().max().item())


class TestEqualsAutograd:
    # Every option meets every other one, switched on and off.
    @pytest.mark.parametrize(
        ('distance', 'weak', 'pairwise', 'confidence', 'padding', 'last_relu', 'doublings'),
        [
            ('mse', False, False, False, False, False, 1),
            ('mse', True, True, True, True, True, 2),
            ('kl', False, False, False, True, True, 2),
            ('kl', True, True, True, False, False, 1),
            ('js', False, False, True, False, False, 2),
            ('js', True, True, False, True, True, 1),
            ('mse', False, True, False, False, True, 1),
            ('mse', True, False, False, True, False, 1),
        ],
    )
    def test_with_every_option(
        self,
        run,
        distance,
        weak,
        pairwise,
        confidence,
        padding,
        last_relu,
        doublings,
    ):
        assert_equals_autograd(
            run,
            doublings=doublings,
            distance=distance,
            weak=weak,
            pairwise=pairwise,
            confidence=confidence,
            padding=padding,
            last_relu=last_relu,
        )

    @pytest.mark.parametrize(
        ('classes', 'channels'),
        [(2, 2), (11, 11), (19, 19), (21, 21), (21, 6), (3, 40), (16, 15), (150, 4)],
    )
    def test_for_any_number_of_classes_and_channels(self, run, classes, channels):
        assert_equals_autograd(
            run, classes=classes, channels=channels, doublings=2, count=1, batch=1
        )

    @pytest.mark.parametrize(
        ('doublings', 'size', 'batch'),
        [
            (3, (3, 5), 2),
            (4, (1, 3), 1),
            pytest.param(5, (1, 2), 1, marks=pytest.mark.slow),
        ],
    )
    def test_for_any_stride(self, run, doublings, size, batch):
        assert_equals_autograd(
            run, doublings=doublings, size=size, batch=batch, count=1, distance='kl'
        )

    # 135 positions are three blocks, whose last is not full.
    @pytest.mark.parametrize('size', [(1, 1), (9, 15)])
    def test_for_maps_smaller_and_larger_than_a_block(self, run, size):
        assert_equals_autograd(run, size=size, distance='js', pairwise=True, weak=True)


@pytest.mark.parametrize('distance', ['mse', 'kl', 'js'])
def test_is_finite_where_predictions_are_certain(run, distance):
    example = Example(distance=distance, scale=1e4, weak=True, pairwise=True)
    example.prob = torch.zeros_like(example.prob)
    example.prob[:, 1] = 1
    arguments, options = example.arguments()
    found = run(decoder_pass, *arguments, **options)
    for x in (found.distances, found.weak, found.pairwise, found.grad_y, *found.grad_weights):
        assert x.isfinite().all()


def test_does_not_depend_on_the_number_of_programs(run):
    example = Example(size=(9, 15), count=1, weak=True)
    arguments, options = example.arguments()
    many = run(decoder_pass, *arguments, **options)
    # One program computes all the blocks.
    one = run(decoder_pass, *arguments, **options, programs=1)
    torch.testing.assert_close(one.grad_y, many.grad_y, rtol=0, atol=0)
    for x, y in zip(
        [one.distances, one.weak, *one.grad_weights, *one.grad_biases],
        [many.distances, many.weak, *many.grad_weights, *many.grad_biases],
        strict=True,
    ):
        torch.testing.assert_close(x, y, rtol=1e-5, atol=1e-7)


class TestOnAGPU:
    """What the interpreter cannot show: its programs and threads run one after another."""

    SIZE = dict(classes=21, channels=21, doublings=3, count=8, size=(40, 41))

    @pytest.mark.parametrize('precision', ['ieee', 'tf32', 'tf32x3'])
    def test_gives_the_same_bits_again(self, gpu, precision):
        arguments, options = Example(**self.SIZE, weak=True, pairwise=True).arguments()
        one, *others = (
            tree_leaves(gpu(decoder_pass, *arguments, **options, precision=precision))
            for _ in range(3)
        )
        for other in others:
            torch.testing.assert_close(other, one, rtol=0, atol=0)

    @pytest.mark.parametrize(
        ('precision', 'tolerance'), [('ieee', 1e-5), ('tf32x3', 1e-4), ('tf32', 2e-2)]
    )
    def test_equals_autograd_at_a_size_of_training(self, gpu, precision, tolerance):
        example = Example(**self.SIZE, weak=True, pairwise=True)
        arguments, options = example.arguments()
        found = gpu(decoder_pass, *arguments, **options, precision=precision)
        losses, gradients = example.expected()
        expected = [*losses, *gradients]
        for x, y in zip(tree_leaves(found), expected, strict=True):
            assert (x - y).norm() <= tolerance * y.norm()
