"""Scores of groups, against numbers counted by hand."""

import math

import numpy as np
import pytest
import torch

from cct_mm.evaluation import class_scores
from cct_mm.lab.report.scores import Cell, add_class_scores, domains_of, make_cell, select


class TestCell:
    def test_is_mean_and_spread_of_values_and_of_paired_differences(self):
        cell = make_cell({0: 3.0, 1: 5.0, 2: 7.0}, {0: 1.0, 1: 4.0, 9: 100.0})
        assert (cell.mean, cell.spread) == (5.0, 2.0)
        # +2 and +1; the third seed has no partner.
        assert cell.each == {0: 2.0, 1: 1.0}
        assert cell.difference == 1.5
        assert cell.difference_spread == pytest.approx(math.sqrt(0.5))

    def test_of_one_run_has_no_spread(self):
        assert make_cell({0: 3.0}, {0: 1.0}) == Cell(3.0, None, 2.0, None, {0: 2.0}, 1)

    def test_of_the_baseline_has_no_difference(self):
        assert make_cell({0: 3.0}, None) == Cell(3.0, count=1)

    def test_of_no_value_is_empty(self):
        assert make_cell({}, {0: 1.0}) == Cell()


def test_a_score_that_is_null_or_nan_is_none():
    metrics = {0: {'a': 1.0}, 1: {'a': None}, 2: {'a': math.nan}, 3: {}}
    assert select(metrics, 'a') == {0: 1.0}


def test_domains_and_classes_are_those_of_the_names_whatever_they_hold():
    metrics = {'day/IoU.a/b.c': 1.0, 'mIoU': 1.0, 'day/mIoU': 1.0, 'night/IoU.x': 1.0}
    assert domains_of(metrics) == {'day': ['a/b.c'], 'night': ['x']}


def test_dice_of_the_iou_is_that_of_the_pixels_and_accuracy_comes_from_them():
    confusion = np.array([[6, 2, 0], [1, 3, 0], [0, 0, 0]])
    expected = class_scores(torch.from_numpy(confusion))
    iou = expected['IoU'].tolist()
    metrics = {'day/IoU.a': iou[0], 'day/IoU.b': iou[1], 'day/IoU.c': None}
    scores = add_class_scores(metrics, {'day': confusion})
    for i, name in enumerate('ab'):
        assert scores[f'day/Dice.{name}'] == pytest.approx(expected['Dice'][i].item())
        assert scores[f'day/Acc.{name}'] == pytest.approx(expected['Acc'][i].item())
    assert scores['day/Dice.c'] is None
    assert not any('Acc' in name for name in add_class_scores(metrics, None))
