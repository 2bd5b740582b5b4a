"""Checks of what a perturbation promises, for the package's own seven and for yours.

Register a perturbation and state its three properties in a test, as the package's own tests do::

    from cct_mm import testing

    def test_my_perturbation():
        entry = dict(type='My-Drop', share=0.3)
        testing.assert_projection_is_exact(entry)
        testing.assert_draws_are_keyed(entry)
        testing.assert_fused_equals_reference(entry)

Each makes up a small step (:func:`example_step`) and needs neither a data set nor an accelerator.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from cct_mm.labels import IGNORE_INDEX
from cct_mm.models.cct import (
    AuxiliaryBank,
    Target,
    UnsupervisedLoss,
    UnsupervisedTerms,
    consistency_fused,
    consistency_reference,
)
from cct_mm.models.cct.consistency_reference import draw_context
from cct_mm.models.cct.perturbations import Context
from cct_mm.models.cct.perturbations.base import conv1x1
from cct_mm.models.cct.plan import Plan, cpu_plan, gpu_plan
from cct_mm.models.losses import ConsistencyLoss, PairwiseLoss


@dataclass
class Step:
    """All that determines the unsupervised loss of one step; see ``consistency_fused``."""

    bank: AuxiliaryBank
    z: Tensor
    target: Target
    terms: UnsupervisedTerms

    def images(self, indices: Sequence[int]) -> 'Step':
        """Return the same step for some of its images, in this order."""
        labels = self.target.pseudo_labels
        target = replace(
            self.target,
            prob=self.target.prob[indices],
            valid=self.target.valid[indices],
            samples=[self.target.samples[i] for i in indices],
            pseudo_labels=None if labels is None else labels[indices],
        )
        return replace(self, z=self.z[indices], target=target)

    def context(self, k: int = 0) -> Context:
        """Return what the perturbation of decoder k may look at."""
        guidance = self.target.guidance(self.z.shape[2:])
        return draw_context(self.bank, k, self.z, self.target, guidance)

    @torch.no_grad()
    def draw(self, k: int = 0) -> Any:
        """Return the state that the perturbation of decoder k draws, G = 1 decoder."""
        return self.bank.perturbations[k].draw(self.context(k))


def example_step(
    *perturbations: dict,
    distance: str = 'mse',
    over_classes: str = 'mean',
    confidence: float | None = None,
    hard_labels: bool = False,
    average_over: str = 'kept',
    consistency_weight: float = 30.0,
    pairwise: int | None = None,
    weak: float | None = None,
    padding: bool = False,
    stride: int = 4,
    channels: int | None = None,
    last_relu: bool = False,
    shared: bool = False,
    batch: int = 3,
    in_channels: int = 7,
    num_classes: int = 4,
    size: tuple[int, int] = (5, 6),
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = 'cpu',
    seed: int = 0,
) -> Step:
    """Make up a step: random weights, a random non-negative z and random main predictions.

    Args:
        *perturbations: Entries of ``AuxiliaryBank``.
        distance: See ``ConsistencyLoss``.
        over_classes: See ``ConsistencyLoss``.
        confidence: See ``ConsistencyLoss``.
        hard_labels: See ``ConsistencyLoss``.
        average_over: See ``ConsistencyLoss``.
        consistency_weight: w_u.
        pairwise: Number of decoders that Eq. 10 compares; None leaves L_P-Wise out.
        weak: w_w. Random pseudo-labels are made, a fifth of them 255; None leaves L_w out.
        padding: Make the last image smaller than the others, not by whole positions of z.
        stride: See ``AuxiliaryBank``.
        channels: See ``AuxiliaryBank``.
        last_relu: See ``AuxiliaryBank``.
        shared: See ``AuxiliaryBank``.
        batch: Number of images B.
        in_channels: Channels D of z.
        num_classes: Number of classes C; all but the first are foreground.
        size: Height and width of z, in positions.
        dtype: Type of z, the weights and the predictions.
        device: Device of all tensors.
        seed: Another seed makes up another step.
    """
    height, width = size[0] * stride, size[1] * stride
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        bank = AuxiliaryBank(
            perturbations, in_channels, num_classes, stride, channels, last_relu, shared
        )
        z = torch.randn(batch, in_channels, *size, dtype=torch.float64).relu()
        logits = 2 * torch.randn(batch, num_classes, height, width, dtype=torch.float64)
        labels = torch.randint(num_classes, (batch, height, width))
        labels[torch.rand(batch, height, width) < 0.2] = IGNORE_INDEX
    valid = torch.ones(batch, 1, height, width, dtype=torch.bool)
    if padding:
        valid[-1, :, -stride - 1 :] = False
        valid[-1, :, :, -1:] = False
    target = Target(
        prob=logits.softmax(dim=1).to(device, dtype),
        valid=valid.to(device),
        foreground=torch.arange(num_classes, device=device) > 0,
        key=(seed, 'example', 7),
        samples=[100 + i for i in range(batch)],
        pseudo_labels=None if weak is None else labels.to(device),
    )
    terms = UnsupervisedTerms(
        ConsistencyLoss(distance, over_classes, confidence, average_over, hard_labels),
        consistency_weight,
        PairwiseLoss(weight=2.0, num_decoders=pairwise) if pairwise else None,
        weak or 0.0,
    )
    return Step(bank.to(device, dtype), z.to(device, dtype), target, terms)


def losses_and_gradients(
    path: Callable[..., UnsupervisedLoss], step: Step, **options: Any
) -> dict[str, Tensor]:
    """Return all values that a path computes, and the gradients of the total loss, by name.

    Args:
        path: ``consistency_fused`` or ``consistency_reference``.
        step: Its input.
        **options: Further arguments of the path.
    """
    z = step.z.detach().requires_grad_()
    loss = path(step.bank, z, step.target, step.terms, **options)
    values = {
        'total': loss.total.detach(),
        'distances': loss.distances,
        'pairwise': loss.pairwise,
        'weak': loss.weak,
    }
    learned = {'z': z} | {n: p for n, p in step.bank.named_parameters() if p.requires_grad}
    gradients = torch.autograd.grad(loss.total, list(learned.values()))
    return {name: value for name, value in values.items() if value is not None} | {
        f'gradient of {name}': gradient for name, gradient in zip(learned, gradients, strict=True)
    }


def assert_all_close(
    found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float
) -> None:
    """Compare tensors by name; an ``AssertionError`` names the first that differs.

    Args:
        found: The tensors that are checked.
        expected: What they should be, under the same names.
        tolerance: Largest difference allowed, as a share of the largest number expected.
    """
    assert found.keys() == expected.keys(), f'{list(found)}, expected {list(expected)}'
    for name, value in expected.items():
        torch.testing.assert_close(
            found[name],
            value,
            rtol=0,
            atol=tolerance * value.abs().max().item(),
            msg=lambda text, name=name: f'{name}: {text}',
        )


def assert_fused_equals_reference(
    *perturbations: dict,
    tolerance: float | None = None,
    plan: Plan | None = None,
    **example: Any,
) -> None:
    """Compare ``consistency_fused`` with ``consistency_reference``: all values and all gradients.

    Args:
        *perturbations: Entries of ``AuxiliaryBank``.
        tolerance: See :func:`assert_all_close`; by default 1e-10 in float64, 1e-4 in float32.
        plan: See ``consistency_fused``; None takes first that of a CPU and then that of a GPU.
        **example: Further arguments of :func:`example_step`.
    """
    step = example_step(*perturbations, **example)
    if tolerance is None:
        tolerance = 1e-10 if step.z.dtype == torch.float64 else 1e-4
    expected = losses_and_gradients(consistency_reference, step)
    for own in (plan,) if plan else (cpu_plan(), gpu_plan(len(step.z))):
        found = losses_and_gradients(consistency_fused, step, plan=own)
        assert_all_close(found, expected, tolerance)


def assert_projection_is_exact(perturbation: dict, tolerance: float = 1e-10, **example) -> None:
    """Compare ``project`` and ``project_backward`` with the convolution of ``perturb``'s maps.

    Args:
        perturbation: Entry of ``AuxiliaryBank``.
        tolerance: See :func:`assert_all_close`.
        **example: Further arguments of :func:`example_step`.
    """
    step = example_step(perturbation, **example)
    ours, state = step.bank.perturbations[0], step.draw()
    z = step.z.requires_grad_()
    weight = step.bank.weights[0][:1].detach().requires_grad_()  # [1, c, D]
    (perturbed,) = ours.perturb(z, state)  # [B, D, h, w]
    projection = conv1x1(perturbed, weight)  # [1, B, c, h, w]
    grad = torch.linspace(-1, 2, projection.numel()).to(projection).reshape(projection.shape)
    grad_z, grad_weight = torch.autograd.grad(projection, (z, weight), grad)
    expected = {
        'projection': projection.detach(),
        'gradient of z': grad_z,
        'gradient of weight': grad_weight,
    }
    z, weight = z.detach(), weight.detach()
    # The gradients of earlier decoders, here ones, have to stay in the sum.
    total = torch.ones_like(z)
    grad_weight = ours.project_backward(grad, z, weight, state, total)
    found = {
        'projection': ours.project(z, weight, state),
        'gradient of z': total - 1,
        'gradient of weight': grad_weight,
    }
    assert_all_close(found, expected, tolerance)


def assert_draws_are_keyed(perturbation: dict, tolerance: float = 1e-10, **example) -> None:
    """Assert that a perturbation of an image depends on its key, not on the batch or global state.

    Args:
        perturbation: Entry of ``AuxiliaryBank``.
        tolerance: See :func:`assert_all_close`.
        **example: Further arguments of :func:`example_step`.
    """
    step = example_step(perturbation, **example)

    def perturbed(step: Step) -> Tensor:
        return step.bank.perturbations[0].perturb(step.z, step.draw())[0]  # [B, D, h, w]

    batch = perturbed(step)
    expected, found = {'the same batch again': batch}, {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        found['the same batch again'] = perturbed(step)
    for i in range(len(step.z)):
        expected[f'image {i} alone'] = batch[i : i + 1]
        found[f'image {i} alone'] = perturbed(step.images([i]))
    assert_all_close(found, expected, tolerance)
