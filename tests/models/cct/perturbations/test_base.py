"""What holds for every perturbation: its algebraic form is exact, its draws are keyed."""

from dataclasses import replace

import pytest
import torch

from cct_mm import testing
from cct_mm.models.cct.auxiliary_bank import build_perturbation
from cct_mm.models.cct.perturbations import PERTURBATIONS, Guidance
from cct_mm.models.cct.perturbations.base import conv1x1, conv1x1_backward

# Whatever is registered: a new perturbation is tested from its first day.
NAMES = sorted(PERTURBATIONS.module_dict)
PAPER = ['Con-Msk', 'DropOut', 'F-Drop', 'F-Noise', 'G-Cutout', 'I-VAT', 'Obj-Msk']
# These read the main prediction only, so that all decoders make the same of them.
WITHOUT_DRAW = ['Con-Msk', 'Obj-Msk']
# The batch has a part in what an image gets.
BY_BATCH = [
    dict(type='F-Drop', one_gamma=True),
    dict(type='I-VAT', xi=0.1, damping=1e-2),
]
BY_IMAGE = sorted(set(NAMES) - {*WITHOUT_DRAW, 'F-Noise'})
ARGUMENTS = [
    dict(type='F-Noise', bound=0.9),
    dict(type='F-Drop', threshold=(0.2, 0.5)),
    dict(type='DropOut', p=0.0),
    dict(type='DropOut', p=0.9),
    dict(type='G-Cutout', area=1.0, min_area=1),
    dict(type='G-Cutout', sides=True, merge_classes=True),
    dict(type='G-Cutout', in_holes=False),
    dict(type='I-VAT', eps=0.5, start='uniform'),
    dict(type='I-VAT', xi=0.1),
]


def test_the_seven_of_the_paper_are_registered():
    assert NAMES == PAPER


@pytest.mark.parametrize('entry', [dict(type=name) for name in NAMES] + ARGUMENTS, ids=str)
@pytest.mark.parametrize('example', [{}, dict(padding=True, channels=9, batch=2)], ids=str)
class TestContract:
    def test_projection_and_its_gradients_are_exact(self, entry, example):
        testing.assert_projection_is_exact(entry, **example)

    def test_an_image_is_perturbed_alike_in_any_batch(self, entry, example):
        testing.assert_draws_are_keyed(entry, **example)


@pytest.mark.parametrize('entry', BY_BATCH, ids=str)
def test_projection_is_exact_where_the_batch_has_a_part(entry):
    testing.assert_projection_is_exact(entry)
    testing.assert_fused_equals_reference({**entry, 'num': 2}, dict(type='Obj-Msk'))


class TestDraws:
    def perturbed(self, step, k=0):
        with torch.no_grad():
            return step.bank.perturbations[k].perturb(step.z, step.draw(k))[0]

    @pytest.mark.parametrize('name', NAMES)
    def test_differ_between_decoders_and_iterations(self, name):
        step = testing.example_step(dict(type=name, num=2))
        with torch.no_grad():
            # Equal decoders, so that a difference can only come from the draw.
            for parameter in step.bank.parameters():
                parameter[1] = parameter[0]
        first = self.perturbed(step)
        later = self.perturbed(replace(step, target=replace(step.target, key=(0, 'example', 8))))
        for other in (self.perturbed(step, k=1), later):
            assert torch.equal(first, other) == (name in WITHOUT_DRAW)

    @pytest.mark.parametrize('name', BY_IMAGE)
    def test_differ_between_images(self, name):
        step = testing.example_step(dict(type=name), batch=4, size=(12, 12))
        same = [0, 0, 0, 0]
        target = step.images(same).target
        step.z, step.target = step.z[same], target
        target.samples = [1, 2, 3, 4]
        images = self.perturbed(step)
        assert not any(torch.equal(images[0], image) for image in images[1:])

    @pytest.mark.parametrize('name', NAMES)
    def test_change_something_and_leave_something(self, name):
        step = testing.example_step(dict(type=name))
        perturbed = self.perturbed(step)
        assert perturbed.shape == step.z.shape
        assert not torch.equal(perturbed, step.z)
        assert perturbed.count_nonzero() > 0

    @pytest.mark.parametrize('name', NAMES)
    def test_leave_z_as_it_was(self, name):
        step = testing.example_step(dict(type=name))
        before = step.z.clone()
        self.perturbed(step)
        assert torch.equal(step.z, before)


class TestGuidance:
    def test_computes_once_by_name(self):
        mask = torch.ones(1, 1, 2, 2, dtype=torch.bool)
        guidance, calls = Guidance(mask[:, 0].long(), mask, mask), []

        def compute():
            calls.append(None)
            return len(calls)

        assert [guidance.once(name, compute) for name in 'aab'] == [1, 1, 2]
        another = Guidance(mask[:, 0].long(), mask, mask)
        assert another.once('a', compute) == 3


def test_conv1x1_and_its_gradients_are_sums():
    torch.manual_seed(0)
    z, grad = torch.randn(2, 3, 4, 5), torch.randn(5, 2, 6, 4, 5)
    weight = torch.randn(5, 6, 3)
    expected = torch.einsum('gcd,bdhw->gbchw', weight, z)
    torch.testing.assert_close(conv1x1(z, weight), expected)
    by_image = weight.unsqueeze(1) * torch.tensor([1.0, 2.0]).view(1, 2, 1, 1)
    expected = torch.einsum('gbcd,bdhw->gbchw', by_image, z)
    torch.testing.assert_close(conv1x1(z, by_image), expected)
    for own in (weight, by_image):
        grad_z = torch.ones_like(z)
        by_weight = conv1x1_backward(grad, z, own, grad_z)
        torch.testing.assert_close(by_weight, torch.einsum('gbchw,bdhw->gbcd', grad, z))
        every = own.unsqueeze(1).expand(5, 2, 6, 3) if own.dim() == 3 else own
        expected = torch.einsum('gbcd,gbchw->bdhw', every, grad)
        torch.testing.assert_close(grad_z - 1, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    'entry',
    [
        dict(type='F-Noise', bound=-0.3),
        dict(type='F-Drop', threshold=(6, 9)),
        dict(type='F-Drop', threshold=(0.9,)),
        dict(type='DropOut', p=1.0),
        dict(type='G-Cutout', area=0.0),
        dict(type='I-VAT', eps=-1.0),
        dict(type='I-VAT', xi=0.0),
    ],
)
def test_arguments_out_of_range_are_refused(entry):
    with pytest.raises(ValueError, match=f'{entry["type"]}: .*expected'):
        build_perturbation(entry)
