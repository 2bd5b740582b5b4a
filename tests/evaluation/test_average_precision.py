"""Average precision: hand-computed values, and the same whatever the order."""

import math

import pytest
import torch

from cct_mm.evaluation.average_precision import ImageLevelMetric, average_precision


class TestAveragePrecision:
    def test_is_the_mean_precision_at_the_ranks_of_the_positive(self):
        scores = torch.tensor([0.9, 0.8, 0.7, 0.6])
        targets = torch.tensor([True, False, True, False])
        assert average_precision(scores, targets) == pytest.approx((1 / 1 + 2 / 3) / 2)

    def test_of_a_perfect_ranking_is_one_and_of_the_worst_the_share_at_the_end(self):
        targets = torch.tensor([True, True, False, False])
        assert average_precision(torch.tensor([4.0, 3, 2, 1]), targets) == 1
        worst = average_precision(torch.tensor([1.0, 2, 3, 4]), targets)
        assert worst == pytest.approx((1 / 3 + 2 / 4) / 2)

    def test_of_equal_scores_is_the_share_of_the_positive_in_any_order(self):
        for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
            targets = torch.tensor([True, False, False, False])[order]
            assert average_precision(torch.zeros(4), targets) == 0.25

    def test_of_no_positive_image_is_not_a_number(self):
        assert math.isnan(average_precision(torch.rand(3), torch.zeros(3, dtype=torch.bool)))


def test_metric_averages_classes_that_occur_then_domains():
    metric = ImageLevelMetric()
    metric.dataset_meta = dict(
        domains=dict(
            day=dict(classes=('sky', 'car')),
            night=dict(classes=('background', 'cat', 'dog')),
            rain=dict(classes=('a', 'b')),
        )
    )
    for domain, scores, labels in (
        ('day', [0.9, 0.2], (0,)),
        ('day', [0.1, 0.3], (0, 1)),
        ('night', [0.0, 0.5, 0.4], (2,)),
        ('night', [0.0, 0.4, 0.6], ()),
    ):
        sample = dict(domain=domain, image_scores=torch.tensor(scores), image_labels=labels)
        metric.process({}, [sample])
    results = metric.evaluate(size=4)
    assert results == {
        'day/AP.sky': 100,
        'day/AP.car': 100,
        'day/mAP': 100,
        'night/AP.dog': 50,
        'night/mAP': 50,
        'mAP': 75,
    }


def test_metric_names_an_image_that_comes_without_labels():
    sample = dict(domain='day', image_scores=torch.zeros(2), img_path='a.jpg')
    with pytest.raises(ValueError, match=r'^a\.jpg .*expected LoadImageLabels .*image_labels'):
        ImageLevelMetric().process({}, [sample])
