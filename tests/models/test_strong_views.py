"""Strong views: each part by itself against torchvision, keys, padding, and CutMix."""

import pytest
import torch
from torchvision.transforms.v2 import functional as F

from cct_mm.models.strong_views import LUMA, StrongViews

NOTHING = dict(jitter=0, gray=0, blur=0, cutmix=0)
COLORS = dict(brightness=0, contrast=0, saturation=0, hue=0)
MEAN, STD = (
    torch.tensor([120.0, 110, 100]).view(3, 1, 1),
    torch.tensor([60.0, 55, 50]).view(3, 1, 1),
)


@pytest.fixture
def values():
    """Images whose values are far enough from 0 and 255 not to be cut off: [4, 3, 20, 30]."""
    torch.manual_seed(0)
    return 100 + 40 * torch.rand(4, 3, 20, 30)


def view_of(values, seed=0, valid=None, **settings):
    """The strong view, as values; the images go in normalized."""
    valid = torch.ones_like(values[:, :1], dtype=torch.bool) if valid is None else valid
    keys = [(seed, 'view', i) for i in range(len(values))]
    mean, std = (MEAN, STD) if values.shape[1] == 3 else (0.0, 1.0)
    view = StrongViews(**{**NOTHING, **settings})((values - mean) / std, valid, keys, mean, std)
    return view.images * std + mean, view


def gray(values):
    return (torch.tensor(LUMA).view(3, 1, 1) * values).sum(dim=1, keepdim=True)


def factors(found, expected):
    """The one factor of each image by which ``found`` is ``expected``, which must be one."""
    ratio = (found / expected).flatten(1)
    middle = ratio.median(dim=1, keepdim=True).values
    found, scaled = found.flatten(1), middle * expected.flatten(1)
    torch.testing.assert_close(found, scaled, atol=1e-3, rtol=1e-4)
    return middle[:, 0]


class TestColors:
    def test_without_any_part_stay(self, values):
        torch.testing.assert_close(view_of(values)[0], values)

    @pytest.mark.parametrize('name', ['brightness', 'contrast', 'saturation'])
    def test_are_those_of_torchvision(self, values, name):
        found, _ = view_of(values, jitter=1, **{**COLORS, name: 0.5})
        mean = gray(values).mean(dim=(1, 2, 3), keepdim=True)
        center = {'brightness': 0.0, 'contrast': mean, 'saturation': gray(values)}[name]
        strength = factors(found - center, values - center)
        assert len(set(strength.tolist())) == 4
        assert (strength - 1).abs().max() <= 0.5
        adjust = getattr(F, f'adjust_{name}')
        for one, image, factor in zip(found, values / 255, strength.tolist(), strict=True):
            # It has rounded shares of the colors.
            torch.testing.assert_close(one / 255, adjust(image, factor), atol=1e-4, rtol=0)

    def test_hue_keeps_gray_value_and_distance_to_it(self, values):
        found, _ = view_of(values, jitter=1, **{**COLORS, 'hue': 0.5})
        torch.testing.assert_close(gray(found), gray(values), atol=1e-3, rtol=0)
        in_plane = torch.tensor([[0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
        before, after = (torch.einsum('qd,bdhw->bqhw', in_plane, x) for x in (values, found))
        torch.testing.assert_close(after.norm(dim=1), before.norm(dim=1), atol=0.05, rtol=1e-3)
        assert (found - values).abs().amax(dim=(1, 2, 3)).min() > 1

    def test_of_gray_images_are_one(self, values):
        found, _ = view_of(values, gray=1)
        torch.testing.assert_close(found, gray(values).expand_as(found), atol=1e-3, rtol=0)

    def test_of_other_numbers_of_channels_stay_in_proportion(self, values):
        five = torch.cat([values, values[:, :2]], dim=1)
        found, _ = view_of(five, jitter=1, gray=1, **{**COLORS, 'brightness': 0.5, 'hue': 0.5})
        factors(found, five)

    @pytest.mark.parametrize(('scale', 'shift'), [(16, 1000), (0.02, -2.5)])
    def test_of_other_ranges_change_as_those_of_8_bits(self, values, scale, shift):
        values = values * scale + shift
        found, _ = view_of(values.repeat(1, 2, 1, 1), jitter=1)
        spread = (found.std((1, 2, 3)) / values.std((1, 2, 3))).tolist()
        assert all(0.2 < ratio < 2.5 for ratio in spread)

    def test_change_in_about_as_many_images_as_asked(self, values):
        changed = [
            (view_of(values, seed=seed, jitter=0.3)[0] - values).abs().amax(dim=(1, 2, 3)) > 0.01
            for seed in range(50)
        ]
        assert 0.2 < torch.stack(changed).float().mean() < 0.4

    def test_stay_between_black_and_white(self, values):
        found, _ = view_of((values - 100) * 6, jitter=1)
        assert found.min() > -1e-3
        assert found.max() < 255.001


class TestBlur:
    def test_is_that_of_torchvision(self):
        point = torch.zeros(4, 1, 21, 21)
        point[:, :, 10, 10] = 255
        found, _ = view_of(point, blur=1)
        steps = torch.arange(21) - 10
        for one in found[:, 0] / 255:
            ratio = float(one[10, 11] / one[10, 10])
            sigma = (-0.5 / torch.tensor(ratio).log()).sqrt().item()
            assert 0.1 <= sigma <= 2
            expected = F.gaussian_blur(point[:1, 0] / 255, [9, 9], [sigma, sigma])[0]
            torch.testing.assert_close(one, expected, atol=1e-5, rtol=1e-3)
            assert (one.sum(dim=0) * steps).sum().abs() < 1e-4


class TestCutMix:
    def test_takes_a_box_of_the_image_before(self, values):
        found, view = view_of(values, cutmix=1, area=(0.1, 0.3))
        share = view.boxes.float().mean(dim=(1, 2, 3))
        assert share.min() > 0.06
        assert share.max() < 0.36
        for i, box in enumerate(view.boxes):
            torch.testing.assert_close(found[i], torch.where(box, values[i - 1], values[i]))
            rows, columns = box[0].any(dim=1), box[0].any(dim=0)
            assert box[0].sum() == rows.sum() * columns.sum()

    def test_takes_what_belongs_to_the_pixels_along(self, values):
        found, view = view_of(values, cutmix=1)
        torch.testing.assert_close(view.mixed(values), found)
        labels = torch.arange(4)[:, None, None].expand(4, 20, 30)
        assert torch.equal(
            view.mixed(labels), torch.where(view.boxes[:, 0], labels.roll(1, 0), labels)
        )

    def test_has_area_of_the_drawn_share(self):
        image = torch.zeros(50, 3, 200, 300)
        _, view = view_of(image, cutmix=1, area=(0.25, 0.25))
        share = view.boxes.float().mean(dim=(1, 2, 3))
        torch.testing.assert_close(share, torch.full_like(share, 0.25), atol=0.01, rtol=0)


class TestKeys:
    def test_alone_say_what_an_image_becomes(self, values):
        settings = dict(jitter=1, gray=0.5, blur=1)
        keys = [(0, 'view', i) for i in range(4)]
        views = StrongViews(cutmix=0, **settings)
        valid = torch.ones_like(values[:, :1], dtype=torch.bool)
        together = views(values, valid, keys).images
        alone = views(values[2:3], valid[2:3], keys[2:3]).images
        torch.testing.assert_close(alone, together[2:3])
        others = views(values, valid, [(1, *key[1:]) for key in keys]).images
        assert (others - together).abs().amax(dim=(1, 2, 3)).min() > 0.1


def test_are_the_same_under_autocast(values):
    views = StrongViews(jitter=1, gray=0.5, blur=1, cutmix=1)
    images, valid = (values - MEAN) / STD, torch.ones_like(values[:, :1], dtype=torch.bool)
    keys = [(0, 'view', i) for i in range(4)]
    expected = views(images, valid, keys, MEAN, STD).images
    with torch.autocast('cpu', torch.bfloat16):
        found = views(images, valid, keys, MEAN, STD).images
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


class TestPadding:
    def test_stays_and_does_not_count(self, values):
        valid = torch.ones_like(values[:, :1], dtype=torch.bool)
        valid[..., 24:] = False
        padded = torch.where(valid, values, MEAN)
        found, _ = view_of(padded, valid=valid, jitter=1, gray=1)
        torch.testing.assert_close(found[..., 24:], padded[..., 24:])
        inside, _ = view_of(values[..., :24], jitter=1, gray=1)
        torch.testing.assert_close(found[..., :24], inside)


@pytest.mark.parametrize(
    ('settings', 'said'),
    [
        (dict(blur=1.5), r'blur is 1.5, expected a number in \[0, 1\]'),
        (dict(hue=0.7), r'hue is 0.7, expected a number in \[0, 0.5\]'),
        (dict(area=(0.5, 0.1)), r'area is \(0.5, 0.1\), expected the smallest and the largest'),
    ],
)
def test_bad_settings_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        StrongViews(**settings)
