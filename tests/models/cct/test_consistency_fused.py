"""The fused path equals the reference path, and both the paper: all values and all gradients."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from torch import nn
from torch.nn import functional as F

from cct_mm import testing
from cct_mm.models.cct import (
    AuxiliaryBank,
    UnsupervisedTerms,
    consistency_fused,
    consistency_reference,
    decoder_tree,
)
from cct_mm.models.cct.perturbations import PERTURBATIONS, Perturbation, SpatialMask
from cct_mm.models.cct.plan import Plan
from cct_mm.models.domain import Domain
from cct_mm.models.losses import DISTANCES, ConsistencyLoss

PATHS = {'fused': consistency_fused, 'reference': consistency_reference}
NAMES = sorted(PERTURBATIONS.module_dict)
ALL = [dict(type=name) for name in NAMES]
EVERYTHING = dict(
    confidence=0.6,
    pairwise=2,
    weak=0.4,
    padding=True,
    channels=6,
    last_relu=True,
    over_classes='sum',
)


@pytest.mark.parametrize('distance', sorted(DISTANCES))
@pytest.mark.parametrize('name', NAMES)
class TestEveryPerturbationAndDistance:
    def test_equals_reference(self, name, distance):
        testing.assert_fused_equals_reference(dict(type=name, num=2), distance=distance)

    def test_equals_reference_with_everything_on(self, name, distance):
        testing.assert_fused_equals_reference(
            dict(type=name, num=3), distance=distance, **EVERYTHING
        )

    def test_equals_reference_with_hard_labels(self, name, distance):
        testing.assert_fused_equals_reference(
            dict(type=name), distance=distance, hard_labels=True, confidence=0.5
        )

    def test_gradients_are_those_of_finite_differences(self, name, distance):
        step = fixed_step(dict(type=name), distance=distance, padding=True)
        assert_gradcheck(step, fast_mode=True)


class Fixed(Perturbation):
    """Another perturbation with its choice of once and for all: z moves, the state stays."""

    def __init__(self, perturbation, state):
        # A copy: gradcheck moves the weights in place, which the state may look into.
        self.perturbation, self.state = perturbation, copy.deepcopy(state)

    def draw(self, context):
        return self.state

    def perturb(self, z, state):
        return self.perturbation.perturb(z, state)

    def project(self, z, weight, state):
        return self.perturbation.project(z, weight, state)

    def project_backward(self, *arguments):
        return self.perturbation.project_backward(*arguments)


def fixed_step(*entries, **example):
    """A step in which all choices are made, as they are without gradient in training."""
    step = testing.example_step(*entries, **{'num_classes': 3, 'stride': 2, **example})
    with torch.no_grad():
        step.bank.perturbations = [
            Fixed(perturbation, perturbation.draw(step.context(k)))
            for k, perturbation in enumerate(step.bank.perturbations)
        ]
    return step


def assert_gradcheck(step, fast_mode):
    def total(z, *parameters):
        return consistency_fused(step.bank, z, step.target, step.terms).total

    # The parameters are the bank's own, which gradcheck moves in place.
    inputs = (step.z.requires_grad_(), *step.bank.parameters())
    assert torch.autograd.gradcheck(total, inputs, atol=1e-7, rtol=1e-5, fast_mode=fast_mode)


class TestGradcheck:
    @pytest.mark.parametrize('distance', sorted(DISTANCES))
    def test_all_together_with_everything_on(self, distance):
        entries = [dict(type=name) for name in ('F-Noise', 'DropOut', 'I-VAT')]
        small = dict(batch=2, in_channels=2, channels=2, size=(1, 2))
        step = fixed_step(*entries, distance=distance, **{**EVERYTHING, **small})
        assert_gradcheck(step, fast_mode=False)


class TestOptions:
    @pytest.mark.parametrize(
        'option',
        [
            dict(confidence=0.7),
            dict(confidence=0.7, average_over='valid'),
            dict(pairwise=2),
            dict(pairwise=8),
            dict(padding=True),
            dict(channels=9),
            dict(channels=2),
            dict(last_relu=True),
            dict(over_classes='sum'),
            dict(weak=0.4),
            dict(weak=0.4, pairwise=3, padding=True),
            dict(weak=0.0),
            dict(consistency_weight=0.0),
            dict(consistency_weight=0.0, pairwise=3),
            dict(consistency_weight=0.0, weak=0.4),
            dict(stride=2),
            dict(stride=4),
            dict(stride=8),
            dict(stride=16, size=(2, 3)),
            dict(batch=1),
            dict(num_classes=2),
            dict(size=(1, 7)),
        ],
        ids=str,
    )
    def test_equals_reference(self, option):
        testing.assert_fused_equals_reference(*ALL, **option)

    def test_the_released_preset_equals_reference(self):
        config = 'configs/_base_/methods/cct_released.py'
        released = Config.fromfile(Path(__file__).resolve().parents[3] / config)
        entries = [{**e, 'num': 2} for e in released.released_model.auxiliary.perturbations]
        loss = released.released_kl_conf_mask
        # From xi = 1e-6 on, rounding is a part of I-VAT in float64, too.
        testing.assert_fused_equals_reference(*entries, last_relu=True, **loss, tolerance=1e-7)

    @pytest.mark.parametrize('path', PATHS)
    def test_no_pseudo_label_anywhere_gives_no_weak_loss(self, path):
        step = testing.example_step(*ALL, weak=0.4)
        step.target.pseudo_labels.fill_(255)
        found = testing.losses_and_gradients(PATHS[path], step)
        assert found.pop('weak') == 0
        expected = testing.losses_and_gradients(PATHS[path], testing.example_step(*ALL))
        testing.assert_all_close(found, expected, 1e-10)

    @pytest.mark.parametrize('path', PATHS)
    def test_p_wise_of_weight_0_is_computed_and_trains_nothing(self, path):
        step = testing.example_step(*ALL, pairwise=3)
        value = testing.losses_and_gradients(PATHS[path], step)['pairwise']
        step.terms.pairwise.weight = 0.0
        found = testing.losses_and_gradients(PATHS[path], step)
        torch.testing.assert_close(found.pop('pairwise'), value)
        expected = testing.losses_and_gradients(PATHS[path], testing.example_step(*ALL))
        testing.assert_all_close(found, expected, 1e-10)

    def test_nothing_that_is_confident_gives_zero(self):
        step = testing.example_step(*ALL, confidence=0.9999999)
        for path in PATHS.values():
            values = testing.losses_and_gradients(path, step)
            assert all(value.count_nonzero() == 0 for value in values.values())

    def test_comparisons_above_are_not_of_zeros(self):
        values = testing.losses_and_gradients(
            consistency_fused, testing.example_step(*ALL, pairwise=3, weak=0.4)
        )
        assert all(value.abs().max() > 1e-4 for value in values.values())
        # Every decoder and every image has its part.
        assert (values['distances'] > 1e-4).all()
        for name, value in values.items():
            if name.startswith('gradient'):
                assert (value.flatten(1).abs().amax(dim=1) > 0).all()


def plain_loss(step, distance):
    """L_u, L_P-Wise and L_w written down once more, in PyTorch's own layers."""
    bank, z, target = step.bank, step.z, step.target
    predictions = []
    for k, perturbation in enumerate(bank.perturbations):
        first, weights, biases = bank.decoder(k)
        state = perturbation.draw(step.context(k))
        x = F.conv2d(perturbation.perturb(z, state)[0], first[:, :, None, None])
        for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            x = F.conv2d(x, weight[:, :, None, None], bias)
            x = x.relu() if i < len(weights) - 1 else x
            x = nn.PixelShuffle(2)(x)
        predictions.append(x.softmax(dim=1))

    def divergence(p, q):
        return p * (p / q).log()

    distances = []
    for p in predictions:
        y = target.prob
        mean = (p + y) / 2
        by_class = {
            'mse': (y - p) ** 2,
            'kl': divergence(y, p),
            'js': (divergence(y, mean) + divergence(p, mean)) / 2,
            'js-reversed': (divergence(mean, y + 1e-5) + divergence(mean, p)) / 2,
        }[distance]
        distances.append(by_class.movedim(1, 3)[target.valid[:, 0]].mean())
    compared = torch.stack([predictions[k] for k in step.terms.compared(bank, target)])
    variance = ((compared - compared.mean(dim=0)) ** 2).mean(dim=0)
    pairwise = variance.movedim(1, 3)[target.valid[:, 0]].mean()
    labels = target.pseudo_labels.where(target.valid[:, 0], 255)
    weak = [F.nll_loss(p.log(), labels, ignore_index=255) for p in predictions]
    mean, weak = sum(distances) / len(distances), sum(weak) / len(weak)
    total = step.terms.consistency_weight * mean + step.terms.pairwise.weight * pairwise
    total = total + step.terms.weak_weight * weak
    distances = torch.stack(distances)
    return {'total': total, 'distances': distances, 'pairwise': pairwise, 'weak': weak}


@pytest.mark.parametrize('path', PATHS)
@pytest.mark.parametrize('distance', sorted(DISTANCES))
def test_both_paths_compute_what_the_paper_says(path, distance):
    step = testing.example_step(*ALL, distance=distance, padding=True, pairwise=3, weak=0.4)
    expected = {name: value.detach() for name, value in plain_loss(step, distance).items()}
    found = testing.losses_and_gradients(PATHS[path], step)
    # The weight of a position, 1 / N, is a float32 number.
    testing.assert_all_close({name: found[name] for name in expected}, expected, 1e-6)


class TestChunksAndGroups:
    @pytest.fixture
    def step(self):
        return testing.example_step(
            *[dict(type=name, num=2) for name in NAMES], padding=True, pairwise=3, weak=0.4
        )

    @pytest.fixture
    def expected(self, step):
        return testing.losses_and_gradients(consistency_fused, step)

    @pytest.mark.parametrize('chunk_elements', [1, 511, 513, 2000, 10**4, 4 * 10**4, 10**9])
    @pytest.mark.parametrize('group_size', [8, None])
    def test_result_does_not_depend_on_the_chunks(self, step, expected, chunk_elements, group_size):
        plan = Plan(group_size, chunk_elements, copies=1)
        found = testing.losses_and_gradients(consistency_fused, step, plan=plan)
        testing.assert_all_close(found, expected, 1e-12)

    @pytest.mark.parametrize('size', [1, 2, 3, 5, 100, None])
    @pytest.mark.parametrize('copies', [1, 2, None])
    def test_result_does_not_depend_on_the_groups(self, step, expected, size, copies):
        plan = Plan(size, 1000, copies)
        found = testing.losses_and_gradients(consistency_fused, step, plan=plan)
        testing.assert_all_close(found, expected, 1e-12)

    def test_there_were_several_chunks_and_groups(self, step, monkeypatch):
        calls = []
        forward = decoder_tree.forward
        monkeypatch.setattr(
            decoder_tree,
            'forward',
            lambda y, *rest: calls.append(tuple(y.shape)) or forward(y, *rest),
        )
        # 4 classes x 16 pixels x 8 decoders a position. Of 5 x 6 positions, 13 are 2 rows of 6, 4
        # are half a row, and 70 are two images of three.
        for most, expected in ((13, {12, 6}), (4, {3}), (70, {60, 30})):
            calls.clear()
            plan = Plan(8, 512 * most, copies=1)
            consistency_fused(step.bank, step.z, step.target, step.terms, plan)
            assert {3, 8} <= {decoders for decoders, _, _ in calls}
            # I-VAT's pass, of fewer decoders, has chunks of more positions.
            assert {positions for decoders, _, positions in calls if decoders == 8} == expected

    def test_memory_of_the_maps_does_not_grow_with_the_image(self, monkeypatch):
        largest = []
        forward = decoder_tree.forward

        def recorded(*arguments):
            maps = forward(*arguments)
            largest.append(max(m.numel() for m in maps))
            return maps

        monkeypatch.setattr(decoder_tree, 'forward', recorded)
        for size in ((8, 8), (24, 24)):
            step = testing.example_step(*ALL, size=size)
            consistency_fused(step.bank, step.z, step.target, step.terms, Plan(8, 4096, 1))
        assert max(largest) <= 4096


class TestInvariances:
    @pytest.mark.parametrize('path', PATHS)
    def test_order_of_the_images_does_not_count(self, path):
        step = testing.example_step(*ALL, padding=True, pairwise=3)
        order = [2, 0, 1]
        found = testing.losses_and_gradients(PATHS[path], step.images(order))
        expected = testing.losses_and_gradients(PATHS[path], step)
        expected['gradient of z'] = expected['gradient of z'][order]
        testing.assert_all_close(found, expected, 1e-10)

    @pytest.mark.parametrize('path', PATHS)
    def test_global_generators_do_not_count(self, path):
        step = testing.example_step(*ALL, pairwise=3)
        torch.manual_seed(1)
        first = testing.losses_and_gradients(PATHS[path], step)
        state = torch.get_rng_state()
        testing.assert_all_close(testing.losses_and_gradients(PATHS[path], step), first, 0)
        assert torch.equal(torch.get_rng_state(), state)

    @pytest.mark.parametrize('path', PATHS)
    def test_predictions_on_padding_do_not_count(self, path):
        step = testing.example_step(*ALL, padding=True, pairwise=3)
        changed = step.target.prob.where(step.target.valid, step.target.prob.flip(1))
        other = replace(step, target=replace(step.target, prob=changed))
        assert not torch.equal(changed, step.target.prob)
        testing.assert_all_close(
            testing.losses_and_gradients(PATHS[path], other),
            testing.losses_and_gradients(PATHS[path], step),
            1e-12,
        )

    @pytest.mark.parametrize('layout', ['channels last', 'turned'])
    def test_memory_layout_does_not_count(self, layout):
        step = testing.example_step(*ALL, padding=True, pairwise=3)
        expected = testing.losses_and_gradients(consistency_fused, step)

        def laid_out(x):
            if layout == 'turned':
                return x.mT.contiguous().mT
            return x.contiguous(memory_format=torch.channels_last)

        step.z = laid_out(step.z)
        step.target.prob = laid_out(step.target.prob)
        step.target.valid = laid_out(step.target.valid)
        found = testing.losses_and_gradients(consistency_fused, step)
        testing.assert_all_close(found, expected, 1e-12)

    def test_another_iteration_or_domain_draws_anew(self):
        step = testing.example_step(*ALL, size=(12, 12))
        first = testing.losses_and_gradients(consistency_fused, step)['distances']
        for key in ((0, 'example', 8), (0, 'other', 7), (1, 'example', 7)):
            other = replace(step, target=replace(step.target, key=key))
            distances = testing.losses_and_gradients(consistency_fused, other)['distances']
            same = {name for k, name in enumerate(step.bank.names) if distances[k] == first[k]}
            assert same == {'Con-Msk', 'Obj-Msk'}


class TestPrecision:
    @pytest.mark.parametrize('name', NAMES)
    @pytest.mark.parametrize('distance', sorted(DISTANCES))
    def test_equals_reference_in_float32(self, name, distance):
        testing.assert_fused_equals_reference(
            dict(type=name, num=2),
            distance=distance,
            pairwise=2,
            dtype=torch.float32,
            tolerance=2e-5,
        )

    @pytest.mark.parametrize('name', sorted(set(NAMES) - {'F-Drop'}))
    def test_float32_is_float64_to_its_rounding(self, name):
        # F-Drop compares z with a threshold, on either side of which rounding may put a position.
        single, double = (
            testing.losses_and_gradients(
                consistency_fused, testing.example_step(dict(type=name), dtype=dtype)
            )
            for dtype in (torch.float32, torch.float64)
        )
        testing.assert_all_close({k: v.double() for k, v in single.items()}, double, 1e-4)

    @pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
    def test_half_precision_z_is_computed_in_float32(self, dtype):
        step = testing.example_step(*ALL, dtype=torch.float32)
        half = step.z.to(dtype).requires_grad_()
        step.z = half.detach().float()
        expected = testing.losses_and_gradients(consistency_fused, step)
        loss = consistency_fused(step.bank, half.float(), step.target, step.terms)
        loss.total.backward()
        assert loss.total.dtype == loss.distances.dtype == torch.float32
        assert torch.equal(loss.total, expected['total'])
        assert half.grad.dtype == dtype
        assert torch.equal(half.grad, expected['gradient of z'].to(dtype))

    @pytest.mark.parametrize('path', PATHS)
    def test_gradients_as_small_as_at_full_image_size_survive(self, path):
        # 1/N at 512 x 1024 with a batch of 8 and 30 decoders: 1e-8 and less.
        step = testing.example_step(*ALL, dtype=torch.float32)
        expected = testing.losses_and_gradients(PATHS[path], step)
        step.terms = replace(step.terms, consistency_weight=30 * 2.0**-30)
        found = testing.losses_and_gradients(PATHS[path], step)
        for name, value in expected.items():
            scale = 1 if name == 'distances' else 2.0**30
            torch.testing.assert_close(found[name] * scale, value, rtol=1e-6, atol=1e-12)


class TestGradientFlow:
    @pytest.mark.parametrize('path', PATHS)
    def test_scale_of_the_loss_reaches_all_gradients(self, path):
        step = testing.example_step(*ALL, pairwise=3)
        z = step.z.requires_grad_()
        learned = [z, *step.bank.parameters()]
        loss = PATHS[path](step.bank, z, step.target, step.terms)
        expected = torch.autograd.grad(loss.total, learned)
        loss = PATHS[path](step.bank, z, step.target, step.terms)
        found = torch.autograd.grad(65536 * loss.total, learned)
        for one, other in zip(found, expected, strict=True):
            assert torch.equal(one, 65536 * other)

    def test_adds_up_with_other_losses_on_z(self):
        step = testing.example_step(*ALL)
        expected = testing.losses_and_gradients(consistency_fused, step)['gradient of z']
        z = step.z.requires_grad_()
        loss = consistency_fused(step.bank, z, step.target, step.terms)
        (loss.total + (3 * z).sum()).backward()
        torch.testing.assert_close(z.grad, expected + 3, rtol=1e-12, atol=0)

    def test_accumulates_over_steps(self):
        step = testing.example_step(*ALL)
        expected = testing.losses_and_gradients(consistency_fused, step)
        for _ in range(2):
            consistency_fused(step.bank, step.z, step.target, step.terms).total.backward()
        for name, parameter in step.bank.named_parameters():
            torch.testing.assert_close(parameter.grad, 2 * expected[f'gradient of {name}'])

    @pytest.mark.parametrize('path', PATHS)
    def test_only_the_total_carries_gradient(self, path):
        step = testing.example_step(*ALL, pairwise=3, weak=0.4)
        loss = PATHS[path](step.bank, step.z.requires_grad_(), step.target, step.terms)
        assert loss.total.requires_grad
        monitored = loss.distances, loss.pairwise, loss.weak
        assert not any(value.requires_grad for value in monitored)

    @pytest.mark.parametrize('path', PATHS)
    def test_none_reaches_the_main_head(self, path):
        step = testing.example_step(*ALL, pairwise=3, dtype=torch.float32)
        head = dict(type='SubPixelHead', in_channels=7, stride=4)
        domain = Domain('camvid', ('sky', 'car', 'bus', 'tree'), head)
        z = step.z.requires_grad_()
        step.target.prob = domain.predict_target((z,), step.target.prob.shape[2:])
        PATHS[path](step.bank, z, step.target, step.terms).total.backward()
        assert all(p.grad is None for p in domain.parameters())
        assert all(p.grad is not None for p in step.bank.parameters())

    def test_none_reaches_a_target_that_asks_for_it(self):
        step = testing.example_step(*ALL, pairwise=3)
        step.target.prob.requires_grad_()
        z = step.z.requires_grad_()
        consistency_fused(step.bank, z, step.target, step.terms).total.backward()
        assert step.target.prob.grad is None and z.grad is not None

    @pytest.mark.parametrize('path', PATHS)
    @pytest.mark.parametrize('frozen', ['all', 'weights.0', 'biases.1', 'z'])
    def test_frozen_tensors_get_none_and_change_nothing(self, path, frozen):
        step = testing.example_step(*ALL, pairwise=3)
        expected = testing.losses_and_gradients(PATHS[path], step)
        for name, parameter in step.bank.named_parameters():
            parameter.requires_grad_(name != frozen and frozen != 'all')
        z = step.z.requires_grad_(frozen != 'z')
        PATHS[path](step.bank, z, step.target, step.terms).total.backward()
        for name, tensor in {'z': z, **dict(step.bank.named_parameters())}.items():
            if tensor.requires_grad:
                wanted = expected[f'gradient of {name}']
                torch.testing.assert_close(tensor.grad, wanted, rtol=1e-10, atol=1e-14)
            else:
                assert tensor.grad is None

    def test_without_gradient_the_values_are_the_same(self):
        step = testing.example_step(*ALL, pairwise=3)
        expected = testing.losses_and_gradients(consistency_fused, step)
        with torch.no_grad():
            loss = consistency_fused(step.bank, step.z, step.target, step.terms)
        assert torch.equal(loss.total, expected['total']) and not loss.total.requires_grad

    @pytest.mark.parametrize('path', PATHS)
    def test_domains_have_banks_of_their_own(self, path):
        one, two = (testing.example_step(*ALL, seed=seed) for seed in (0, 1))
        before = testing.losses_and_gradients(PATHS[path], one)
        total = PATHS[path](two.bank, two.z, two.target, two.terms).total
        total.backward()
        assert all(p.grad is None for p in one.bank.parameters())
        with torch.no_grad():
            for parameter in two.bank.parameters():
                parameter -= parameter.grad
        testing.assert_all_close(testing.losses_and_gradients(PATHS[path], one), before, 0)


class TestUserDefinedPerturbation:
    """One of your own, in a dozen lines, is fused and has its equality test for free."""

    @pytest.fixture
    def stripes(self, registry):
        @registry.register_module(name='Stripes')
        class Stripes(SpatialMask):
            """Drop every other row, beginning with a random one."""

            def numbers(self, z, weight):
                return 1, 1, 1

            def draw(self, context):
                rows = torch.arange(context.z.shape[2], device=context.z.device)
                first = context.uniform() < 0.5
                return (rows.view(-1, 1) % 2 == 0) == first

        return Stripes

    @pytest.fixture
    def saturation(self, registry):
        @registry.register_module(name='Saturation')
        class Saturation(Perturbation):
            """Squash z with a random gain: no algebraic form, so only draw and perturb."""

            def __init__(self, gain=2.0):
                self.gain = gain

            def numbers(self, z, weight):
                return 1, 1, 1

            def draw(self, context):
                return context.uniform(high=self.gain).to(context.z.dtype)

            def perturb(self, z, state):
                return torch.tanh(z * state)

        return Saturation

    def check(self, entry):
        testing.assert_projection_is_exact(entry)
        testing.assert_draws_are_keyed(entry)
        for distance in DISTANCES:
            testing.assert_fused_equals_reference({**entry, 'num': 3}, *ALL, distance=distance)
        testing.assert_fused_equals_reference(entry, *ALL, **EVERYTHING)

    def test_of_a_known_form(self, stripes):
        self.check(dict(type='Stripes'))

    def test_of_no_form(self, saturation):
        self.check(dict(type='Saturation', gain=3.0))

    def test_a_known_form_makes_no_copy_of_z(self, stripes, monkeypatch):
        def refuse(*_):
            raise AssertionError('the fused path perturbed z itself')

        monkeypatch.setattr(stripes, 'perturb', refuse)
        step = testing.example_step(dict(type='Stripes', num=2))
        consistency_fused(step.bank, step.z, step.target, step.terms)

    def test_a_wrong_projection_is_found(self, stripes, monkeypatch):
        right = SpatialMask.project
        monkeypatch.setattr(stripes, 'project', lambda self, z, w, s: right(self, z, w, 1.0))
        with pytest.raises(AssertionError, match='projection: '):
            testing.assert_projection_is_exact(dict(type='Stripes'))
        with pytest.raises(AssertionError, match='total: '):
            testing.assert_fused_equals_reference(dict(type='Stripes'))

    def test_a_wrong_gradient_is_found(self, stripes, monkeypatch):
        right = SpatialMask.project_backward
        monkeypatch.setattr(
            stripes, 'project_backward', lambda self, grad, *rest: right(self, 1.001 * grad, *rest)
        )
        with pytest.raises(AssertionError, match='gradient of z: '):
            testing.assert_projection_is_exact(dict(type='Stripes'))
        with pytest.raises(AssertionError, match='gradient of z: '):
            testing.assert_fused_equals_reference(dict(type='Stripes'))

    def test_an_unkeyed_draw_is_found(self, saturation, monkeypatch):
        monkeypatch.setattr(saturation, 'draw', lambda self, context: torch.rand(1).double())
        with pytest.raises(AssertionError, match='the same batch again: '):
            testing.assert_draws_are_keyed(dict(type='Saturation'))

    def test_a_draw_that_depends_on_the_batch_is_found(self, saturation, monkeypatch):
        monkeypatch.setattr(saturation, 'draw', lambda self, context: context.z.mean().view(1))
        with pytest.raises(AssertionError, match='image 0 alone: '):
            testing.assert_draws_are_keyed(dict(type='Saturation'))


def test_terms_without_a_pairwise_loss_compare_nothing():
    bank = AuxiliaryBank([dict(type='DropOut', num=4)], 5, 3)
    assert UnsupervisedTerms(ConsistencyLoss(), 1.0).compared(bank, None) == []
