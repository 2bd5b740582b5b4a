"""What is said about distances, by hand."""

import numpy as np
import pytest

from cct_mm.lab.cluster_assumption.scores import Scores, area_under_curve


class TestArea:
    def test_is_the_share_of_pairs_in_order(self):
        generator = np.random.default_rng(0)
        boundary, inside = generator.integers(0, 9, 30), generator.integers(0, 7, 50)
        pairs = boundary[:, None] - inside[None]
        expected = (pairs > 0).mean() + (pairs == 0).mean() / 2
        assert area_under_curve(boundary, inside) == pytest.approx(expected)

    def test_has_no_scale(self):
        generator = np.random.default_rng(1)
        boundary, inside = generator.random(20) + 0.2, generator.random(20)
        assert area_under_curve(boundary**3, inside**3) == area_under_curve(boundary, inside)

    def test_of_a_constant_map_is_chance(self):
        assert area_under_curve(np.zeros(5), np.zeros(9)) == 0.5


class TestScores:
    def test_add_up_over_images(self):
        scores = Scores()
        scores.add(np.array([4.0, 2.0]), np.array([1.0, 1.0, 1.0]))
        scores.add(np.array([3.0]), np.array([1.0, 5.0]))
        # 9 / 3 and 9 / 5; all six pairs in order, then one of two.
        assert scores.summary() == pytest.approx(
            dict(boundary=3, inside=1.8, ratio=5 / 3, auc=0.75)
        )

    def test_two_constant_halves_have_no_ratio_and_an_area_of_one(self):
        scores = Scores()
        scores.add(np.array([2.0, 2.0]), np.zeros(4))
        assert scores.summary() == dict(boundary=2.0, inside=0.0, ratio=None, auc=1.0)

    def test_an_image_of_one_class_counts_inside(self):
        scores = Scores()
        scores.add(np.zeros(0), np.array([1.0, 3.0]))
        assert scores.summary() == dict(boundary=None, inside=2.0, ratio=None, auc=None)
