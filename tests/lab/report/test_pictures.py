"""Errors by pixel, and rows of pictures of bounded size."""

from dataclasses import replace

import numpy as np
import pytest
from made_up_runs import make_evaluation

from cct_mm.lab.report import pictures
from cct_mm.lab.report.evaluation import Picture
from cct_mm.lab.report.pictures import (
    CORRECTED,
    IGNORED,
    RIGHT,
    STILL_WRONG,
    WRONG,
    error_map,
    make_rows,
)


def picture(prediction):
    truth = np.array([[0, 0, 1, 1, 255]], np.uint8)
    image = np.zeros((1, 5, 3), np.uint8)
    return Picture('day', 'x.png', image, truth, np.array([prediction], np.uint8))


def test_errors_alone():
    errors = error_map(picture([0, 1, 1, 0, 0]), None, 2)
    assert errors.tolist() == [[RIGHT, WRONG, RIGHT, WRONG, IGNORED]]


def test_errors_beside_those_of_the_baseline():
    errors = error_map(picture([0, 1, 1, 0, 0]), picture([0, 0, 0, 0, 0]), 2)
    assert errors.tolist() == [[RIGHT, WRONG, CORRECTED, STILL_WRONG, IGNORED]]


def test_a_row_has_image_truth_predictions_and_errors_of_the_same_image():
    first, second = make_evaluation(images=1), make_evaluation(images=1, seed=1)
    (row,) = make_rows({'a': first, 'b': second})
    titles = ['image', 'truth', 'a', 'b', 'errors of a', 'errors of b']
    assert [tile.title for tile in row.tiles] == titles
    other = replace(second, pictures=[replace(second.pictures[0], name='other.png')])
    assert [len(row.tiles) for row in make_rows({'a': first, 'b': other})] == [4, 4]


def test_images_of_one_name_have_a_row_each():
    first, second = make_evaluation(seed=0), make_evaluation(seed=1)
    both = [
        replace(one, pictures=[replace(picture, name='x.png') for picture in one.pictures])
        for one in (first, second)
    ]
    expected = make_rows({'a': first, 'b': second})
    assert [row.tiles for row in make_rows(dict(zip('ab', both, strict=True)))] == [
        row.tiles for row in expected
    ]


def test_of_too_many_pictures_each_domain_keeps_its_first(monkeypatch):
    both = make_evaluation(images=3)
    night = [replace(one, domain='night') for one in both.pictures]
    domains = {**both.domains, 'night': both.domains['day']}
    both = replace(both, domains=domains, pictures=[*both.pictures, *night])
    everything = make_rows({'a': both})
    assert len(everything) == 6
    size = sum(len(tile.source) for row in everything[:4] for tile in row.tiles)
    monkeypatch.setattr(pictures, 'BUDGET', size)
    kept = [(row.domain, row.name) for row in make_rows({'a': both})]
    assert kept == [('day', '0.png'), ('night', '0.png'), ('day', '1.png'), ('night', '1.png')]


@pytest.mark.parametrize('groups', [1, 3])
def test_the_largest_pictures_are_within_the_budget(groups):
    # Noise, which no format makes small.
    noise = make_evaluation(images=4, side=320)
    rows = make_rows({str(i): noise for i in range(groups)})
    assert rows
    assert sum(len(tile.source) for row in rows for tile in row.tiles) <= pictures.BUDGET
