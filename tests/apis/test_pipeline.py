"""Images of other than three channels on their way to the network."""

import cv2
import numpy as np
import pytest
from mmengine.registry import DefaultScope

from cct_mm.apis.pipeline import ImagePipeline

STEPS = [
    dict(type='LoadCheckedImage', channels=1),
    dict(type='Resize', scale=(32, 24)),
    dict(type='PackSegInputs'),
]


@pytest.fixture(scope='module')
def gray():
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield ImagePipeline(STEPS)


def test_files_and_arrays_are_the_same(gray, tmp_path):
    pixels = np.random.default_rng(0).integers(100, 120, (48, 64), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / 'a.png'), pixels)
    file, flat, deep = gray(str(tmp_path / 'a.png')), gray(pixels), gray(pixels[..., None])
    assert file.views[0]['inputs'].shape == (1, 24, 32)
    assert file.image.shape == (48, 64, 3)
    for other in (flat, deep):
        assert file.views[0]['inputs'].equal(other.views[0]['inputs'])
        np.testing.assert_array_equal(file.image, other.image)


def test_an_array_of_colors_is_refused(gray):
    with pytest.raises(ValueError, match=r'shape \[4, 5, 3\] .* expected \[H, W, 1\] and uint8$'):
        gray(np.zeros((4, 5, 3), np.uint8))
