"""Quality of pseudo-labels: hand-computed counts and shares."""

import numpy as np
import pytest

from cct_mm.lab.pseudo_label_quality import Quality, Scorer, add, count, recipes, report
from cct_mm.weak.images import Image
from cct_mm.weak.pseudo_labels import Recipe

TRUTH = np.array([[0, 0, 1, 1], [2, 2, 255, 255]], np.uint8)
LABELS = np.array([[0, 1, 1, 255], [2, 0, 0, 255]], np.uint8)


@pytest.fixture
def quality():
    return Quality(count(TRUTH, LABELS, 3))


def test_count_is_by_true_class_and_label_and_leaves_unknown_truth_out(quality):
    assert quality.counts.tolist() == [[1, 1, 0, 0], [0, 1, 0, 1], [1, 0, 1, 0]]


def test_shares(quality):
    assert quality.coverage == pytest.approx(500 / 6)
    assert quality.precision.tolist() == [50, 50, 100]
    assert quality.recall.tolist() == [50, 50, 50]
    # Over the five pixels with a label: 1 of 3, 1 of 2, 1 of 2.
    assert quality.iou == pytest.approx([100 / 3, 50, 50])
    assert quality.miou == pytest.approx((100 / 3 + 50 + 50) / 3)


def test_class_that_is_nowhere_is_left_out_of_the_mean():
    counts = count(np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.uint8), 3)
    assert Quality(counts).miou == 100


class TestScorer:
    MAPS = np.array([[[0.0, 0.2, 0.9, 0.4], [0.03, 0.0, 1.0, 1.0]]], np.float32)

    @pytest.fixture
    def image(self):
        pixels = np.zeros((2, 4, 3), np.uint8)
        return Image('x.jpg', 'x', pixels, present=(1,), truth=TRUTH)

    def test_counts_the_labels_of_each_recipe(self, image):
        score = Scorer(recipes(crf=False, has_background=True), 3, has_background=True)
        found = score(image, self.MAPS)
        labels = np.array([[0, 255, 1, 1], [0, 0, 1, 1]], np.uint8)
        assert (found['paper, no CRF'] == count(TRUTH, labels, 3)).all()
        assert (found[(0.05, 0.3)] == found['paper, no CRF']).all()

    def test_without_background_has_no_recipe_of_two_thresholds(self):
        assert list(recipes(crf=True, has_background=False)) == ['paper, no CRF', 'paper, CRF']

    def test_recipes_take_other_thresholds(self):
        found = recipes(crf=False, has_background=True, background=0.1, foreground=0.5)
        assert found == {'paper, no CRF': Recipe(0.1, 0.5, crf=None)}

    def test_a_higher_foreground_threshold_never_covers_more(self, image):
        found = Scorer({}, 3, has_background=True)(image, self.MAPS)
        for (background, foreground), counts in found.items():
            for other, others in found.items():
                if other[0] == background and other[1] > foreground:
                    assert Quality(others).coverage <= Quality(counts).coverage

    def test_without_background_sweeps_the_foreground_alone(self, image):
        found = Scorer({}, 3, has_background=False)(image, self.MAPS)
        assert {background for background, _ in found} == {0.0}


def test_report_sums_the_images(quality):
    totals = {}
    for _ in range(3):
        add(totals, {'paper': quality.counts, (0.05, 0.3): quality.counts})
    assert report(totals, ('a', 'b', 'c'), images=3, skipped=2).startswith(
        '## Pseudo-labels of 3 images (2 more could not be compared)\n'
    )
    text = report(totals, ('a', 'b', 'c'), images=3)
    assert totals['paper'].sum() == 18
    assert '| paper | 44.4 | 83.3 | 66.7 | 50.0 |' in text
    assert '| b | 50.0 / 50.0 / 50.0 |' in text
    assert '| 0.05 | 44.4 (83) |' in text
