"""Rendered scenes: each follows from its key alone, and all are frozen."""

import hashlib

import numpy as np
import pytest

from cct_mm.datasets.toy_scenes import DOMAINS
from cct_mm.lab.toy_scenes import GENERATOR_VERSION, render_scene

FROZEN_LABELS = (1, '327c1c41606f97fc')
FROZEN_MEANS = [133.57, 157.95, 149.91, 57.07, 59.02, 55.18]
FROZEN_DEMO_LABELS = (1, '2986e75073c0c3d8')
FROZEN_DEMO_MEANS = [104.71, 78.99, 131.13, 171.19, 143.4, 114.99]


class TestRenderScene:
    def test_depends_on_its_key_alone(self):
        first = render_scene('night', 'train', 5)
        render_scene('day', 'val', 1)
        for a, b in zip(first, render_scene('night', 'train', 5), strict=True):
            np.testing.assert_array_equal(a, b)

    @pytest.mark.parametrize(
        'key', [('night', 'train', 6), ('day', 'train', 5), ('night', 'test', 5)]
    )
    def test_every_part_of_the_key_counts(self, key):
        reference = render_scene('night', 'train', 5)
        assert (render_scene(*key)[0] != reference[0]).mean() > 0.5
        assert (render_scene('night', 'train', 5, seed=1)[0] != reference[0]).mean() > 0.5

    @pytest.mark.parametrize('domain', DOMAINS)
    def test_all_classes_occur_and_things_are_small(self, domain):
        scenes = [render_scene(domain, 'train', index) for index in range(24)]
        for image, label in scenes:
            assert (image.shape, image.dtype) == ((96, 128, 3), np.uint8)
            assert (label.shape, label.dtype) == ((96, 128), np.uint8)
        labels = np.stack([label for _, label in scenes])
        share = np.bincount(labels.ravel(), minlength=5) / labels.size
        assert len(share) == 5
        assert (share[:2] > 0.3).all()
        assert ((share[2:] > 0.01) & (share[2:] < 0.12)).all()

    def test_domains_differ_in_light(self):
        day, night = (
            np.mean([render_scene(domain, 'train', i)[0].mean() for i in range(10)])
            for domain in DOMAINS
        )
        assert night < 0.5 * day

    @pytest.mark.parametrize(
        ('demo', 'frozen'), [(False, FROZEN_LABELS), (True, FROZEN_DEMO_LABELS)]
    )
    def test_labels_are_frozen(self, demo, frozen):
        """A changed scene is another data set: it needs a new GENERATOR_VERSION, and these."""
        digest = hashlib.sha256()
        for domain in DOMAINS:
            for index in range(3):
                digest.update(render_scene(domain, 'test', index, demo=demo)[1].tobytes())
        assert (GENERATOR_VERSION, digest.hexdigest()[:16]) == frozen

    @pytest.mark.parametrize(('demo', 'frozen'), [(False, FROZEN_MEANS), (True, FROZEN_DEMO_MEANS)])
    def test_images_are_frozen(self, demo, frozen):
        scenes = [render_scene(domain, 'test', 0, demo=demo) for domain in DOMAINS]
        means = [image.mean(axis=(0, 1)) for image, _ in scenes]
        np.testing.assert_allclose(np.concatenate(means), frozen, atol=0.05)

    @pytest.mark.parametrize('domain', DOMAINS)
    def test_demo_shows_the_same_scenes_with_larger_things(self, domain):
        scenes = [
            [render_scene(domain, 'train', index, demo=demo)[1] for index in range(24)]
            for demo in (False, True)
        ]
        usual, demo = (np.bincount(np.ravel(labels), minlength=5) for labels in scenes)
        assert (demo[2:] > 1.5 * usual[2:]).all()
        for a, b in zip(*scenes, strict=True):
            # Where no thing stands, the same sky and ground are seen.
            free = (a < 2) & (b < 2)
            np.testing.assert_array_equal(a[free], b[free])

    def test_unknown_domain_and_split_are_named(self):
        with pytest.raises(ValueError, match="domain 'dusk'.*'day', 'night'"):
            render_scene('dusk', 'train', 0)
        with pytest.raises(ValueError, match="split 'dev'.*'train', 'val', 'test'"):
            render_scene('day', 'dev', 0)
