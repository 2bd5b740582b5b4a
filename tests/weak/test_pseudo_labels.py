"""Thresholds, presets and confidence: hand-computed label maps."""

import numpy as np
import pytest
import torch

from cct_mm.weak.crf import CRF
from cct_mm.weak.pseudo_labels import PRESETS, Recipe, confident, threshold

# Two classes, labels 3 and 7, on one row of pixels.
MAPS = np.array([[[0.0, 0.04, 0.1, 0.3, 0.31, 1.0]], [[0.0, 0.03, 0.2, 0.1, 0.9, 0.2]]], np.float32)
IMAGE = np.zeros((1, 6, 3), np.uint8)
NO_CRF = {name: Recipe(per_threshold=r.per_threshold, crf=None) for name, r in PRESETS.items()}


class TestThreshold:
    def test_below_background_above_foreground_and_between(self):
        labels = threshold(MAPS, (3, 7), background=0.05, foreground=0.30)
        assert labels.tolist() == [[0, 0, 255, 255, 7, 3]]

    def test_without_background_class_all_classes_compete(self):
        labels = threshold(MAPS, (3, 7), background=None, foreground=0.30)
        assert labels.tolist() == [[255, 255, 255, 255, 7, 3]]

    @pytest.mark.parametrize(('background', 'label'), [(0.05, 0), (None, 255)])
    def test_image_without_a_class_is_background_where_there_is_one(self, background, label):
        labels = threshold(np.zeros((0, 2, 3), np.float32), (), background, 0.3)
        assert labels.tolist() == [[label] * 3] * 2


class TestRecipe:
    @pytest.mark.parametrize('name', list(PRESETS))
    def test_presets_agree_where_there_is_no_crf(self, name):
        labels = NO_CRF[name].labels(IMAGE, MAPS, (3, 7), has_background=True)
        assert labels.tolist() == [[0, 0, 255, 255, 7, 3]]

    def test_paper_keeps_pixels_without_label_and_moves_borders(self):
        class Shift(CRF):
            def refine(self, image, labels, among=None):
                return np.full_like(labels, 7)

        labels = Recipe(crf=Shift()).labels(IMAGE, MAPS, (3, 7), has_background=True)
        assert labels.tolist() == [[7, 7, 255, 255, 7, 7]]

    def test_released_takes_foreground_of_one_crf_and_background_of_the_other(self):
        class Flood(CRF):
            """Foreground floods all where it has more than half of the pixels."""

            def refine(self, image, labels, among=None):
                assert among == (0, 3, 7)
                return np.full_like(labels, 7) if (labels > 0).mean() > 0.5 else labels

        recipe = Recipe(per_threshold=True, crf=Flood())
        labels = recipe.labels(IMAGE, MAPS, (3, 7), has_background=True)
        # At theta_bg, four of six pixels are foreground, and flood the others: no background.
        assert labels.tolist() == [[255, 255, 255, 255, 7, 3]]

    @pytest.mark.parametrize('name', list(PRESETS))
    def test_image_with_other_classes_has_foreground_bounded_by_the_crf_and_no_background(
        self, name
    ):
        class Grow(CRF):
            """Background takes the pixel to its right from the foreground."""

            def refine(self, image, labels, among=None):
                assert 0 in labels
                refined = labels.copy()
                refined[:, 1:][labels[:, :-1] == 0] = 0
                return refined

        maps = np.array([[[0.9, 0.0, 0.9, 0.9]]], np.float32)
        recipe = Recipe(per_threshold=PRESETS[name].per_threshold, crf=Grow())
        image = IMAGE[:, :4]
        labels = recipe.labels(image, maps, (3,), has_background=True, complete=True)
        assert labels.tolist() == [[3, 0, 0, 3]]
        labels = recipe.labels(image, maps, (3,), has_background=True, complete=False)
        assert labels.tolist() == [[3, 255, 255, 3]]

    def test_image_with_other_classes_keeps_class_0_where_it_is_no_background(self):
        labels = Recipe(crf=None).labels(IMAGE, MAPS, (0, 7), has_background=False, complete=False)
        assert labels.tolist() == [[255, 255, 255, 255, 7, 0]]

    @pytest.mark.parametrize('name', list(PRESETS))
    def test_image_of_background_alone(self, name):
        maps = np.zeros((0, 1, 6), np.float32)
        assert (PRESETS[name].labels(IMAGE, maps, (), has_background=True) == 0).all()
        assert (PRESETS[name].labels(IMAGE, maps, (), True, complete=False) == 255).all()

    @pytest.mark.parametrize(('background', 'foreground'), [(0.4, 0.3), (-0.1, 0.3), (0.1, 1.1)])
    def test_refuses_thresholds_out_of_order(self, background, foreground):
        with pytest.raises(ValueError, match=rf'theta_bg={background} and theta_fg={foreground}'):
            Recipe(background, foreground)


class TestConfident:
    PROBABILITY = torch.tensor([[[0.95, 0.5, 0.0]], [[0.05, 0.3, 0.08]], [[0.0, 0.2, 0.92]]])

    def test_keeps_labels_that_are_likely_enough(self):
        assert confident(self.PROBABILITY, 0.9, None).tolist() == [[0, 255, 2]]
        assert confident(self.PROBABILITY, 0.5, None).tolist() == [[0, 0, 2]]

    def test_takes_no_class_that_the_image_does_not_show(self):
        assert confident(self.PROBABILITY, 0.9, (0, 1)).tolist() == [[0, 255, 255]]
