"""Pictures of images of any number of channels."""

import numpy as np
import pytest

from cct_mm.visualization import viewable


def image(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_of_three_channels_are_the_image_in_rgb():
    bgr = image(8, 9, 3)
    np.testing.assert_array_equal(viewable(bgr), bgr[..., ::-1])


@pytest.mark.parametrize('shape', [(8, 9), (8, 9, 1), (8, 9, 2)])
def test_of_fewer_are_gray(shape):
    found = viewable(image(*shape))
    assert found.shape == (8, 9, 3)
    assert found.dtype == np.uint8
    assert (found == found[..., :1]).all()


def test_of_more_are_the_first_three_in_their_order():
    found = viewable(np.dstack([np.full((8, 9), v) for v in (10, 20, 30, 250)]))
    np.testing.assert_array_equal(found[0, 0], [0, 128, 255])


def test_a_narrow_range_fills_the_whole_one_whatever_its_scale():
    narrow = np.linspace(500, 600, 1000).reshape(20, 50)
    found = viewable(narrow)
    assert (found.min(), found.max()) == (0, 255)
    np.testing.assert_array_equal(found, viewable(narrow / 1000))


def test_one_value_alone_is_black():
    assert not viewable(np.full((4, 4), 7)).any()
