"""A hold-out leaves every class in training, and takes every class that it can."""

import numpy as np
import pytest

from cct_mm.lab.new_domain.split import hold_out, named_split
from cct_mm.lab.splits import class_presence


def entries(n):
    return [(f'{i}.jpg', f'{i}.png') for i in range(n)]


def counts_of(presence):
    return np.array(presence) * 100


@pytest.mark.parametrize('seed', range(5))
def test_classes_stay_in_training_and_are_in_validation_where_two_images_show_them(seed):
    rng = np.random.default_rng(seed)
    presence = np.ones((20, 6), int)
    for column, number in enumerate((1, 2, 3, 8), start=1):
        presence[:, column] = 0
        presence[rng.permutation(20)[:number], column] = 1
    samples, counts = entries(20), counts_of(presence)
    train, val = hold_out(samples, counts, 0.2, seed)
    assert len(val) == 4 and sorted(train + val) == sorted(samples)
    shown = {
        part: class_presence(counts)[[samples.index(e) for e in own]].any(axis=0)
        for part, own in (('train', train), ('val', val))
    }
    assert shown['train'].all()
    assert not shown['val'][1]


def test_is_the_same_for_a_seed_and_another_for_another():
    samples, counts = entries(40), counts_of(np.ones((40, 2), int))
    first = hold_out(samples, counts, 0.25, 0)
    assert hold_out(samples, counts, 0.25, 0) == first
    assert hold_out(samples, counts, 0.25, 1) != first


@pytest.mark.parametrize(
    ('number', 'share', 'held'),
    [(1, 0.2, 0), (2, 0.2, 1), (3, 0.2, 1), (10, 0.5, 5), (10, 0.0, 0), (6, 0.95, 5)],
)
def test_number(number, share, held):
    train, val = hold_out(entries(number), counts_of(np.ones((number, 2), int)), share, 0)
    assert (len(train), len(val)) == (number - held, held)


@pytest.mark.parametrize('share', [0.5, 0.8, 0.95])
def test_a_large_hold_out_leaves_every_class_in_training_too(share):
    presence = np.ones((10, 2), int)
    presence[2:, 1] = 0
    train, val = hold_out(entries(10), counts_of(presence), share, 0)
    rare = set(entries(10)[:2])
    assert len(rare & set(train)) == len(rare & set(val)) == 1


def test_images_that_alone_show_a_class_are_never_held_out():
    assert hold_out(entries(3), counts_of(np.eye(3, dtype=int)), 0.5, 0)[1] == []


@pytest.mark.parametrize(
    ('path', 'part'),
    [
        ('val/a.jpg', 'val'),
        ('leftImg8bit/val/ulm/a.png', 'val'),
        ('validation/a.jpg', 'val'),
        ('images/test/a.jpg', 'test'),
        ('test_set/a.jpg', 'test'),
        ('train/a.jpg', 'train'),
        ('interval/val.jpg', 'train'),
        ('a.jpg', 'train'),
    ],
)
def test_folders_may_say_it(path, part):
    assert named_split(path) == part
