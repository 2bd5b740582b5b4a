"""What a prediction draws and saves."""

import dataclasses

import numpy as np
import PIL.Image
import pytest

from cct_mm.apis import Prediction
from cct_mm.apis.prediction import PANEL, picture

PALETTE = np.array([[200, 0, 0], [0, 100, 0]], np.uint8)


def prediction(domain='day', probabilities=None, height=2, width=3):
    labels = np.zeros((height, width), np.uint8)
    labels[0] = 1
    return Prediction(
        labels=labels,
        probabilities=probabilities,
        domain=domain,
        classes=('brick', 'leaf'),
        palette=PALETTE,
        source='/photos/a/1.jpg',
        name='a/1',
        image=np.full((height, width, 3), 100, np.uint8),
    )


def test_overlay_mixes_colors_and_image():
    assert prediction().overlay(opacity=0.75)[:, 0].tolist() == [[25, 100, 25], [175, 25, 25]]
    assert (prediction().overlay(opacity=0) == 100).all()


def test_saves_labels_with_colors_and_probabilities_that_are_read_back(tmp_path):
    given = np.random.default_rng(0).random((2, 2, 3)).astype(np.float32)
    path = prediction(probabilities=given).save(tmp_path)
    assert path == tmp_path / 'labels/a/1.png'
    with PIL.Image.open(path) as file:
        assert np.asarray(file).tolist() == prediction().labels.tolist()
        assert np.asarray(file.convert('RGB'))[:, 0].tolist() == PALETTE[::-1].tolist()
        assert file.info['image'] == '/photos/a/1.jpg'
    found = np.load(tmp_path / 'probabilities/a/1.npz')['probabilities']
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, given, atol=1e-3)
    assert PIL.Image.open(tmp_path / 'overlays/a/1.jpg').size == (3, 2)


def test_without_probabilities_saves_none_and_says_how_to_get_them(tmp_path):
    prediction().save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {'labels', 'overlays'}
    with pytest.raises(ValueError, match='probabilities=True'):
        prediction().npz()


def test_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        prediction().domain = 'night'


class TestPicture:
    def test_of_one_is_its_overlay(self):
        assert (picture([prediction()]) == prediction().overlay()).all()

    def test_of_several_shows_the_image_and_each_of_them_large_enough_to_see(self):
        drawn = picture([prediction('day'), prediction('night')])
        height = PANEL * 2 // 3
        assert drawn.shape[1] > 3 * PANEL
        for i, expected in enumerate([100, 40, 40]):
            panel = drawn[-height - 6 : -6, i * (PANEL + 6) :][:, :PANEL]
            assert (panel[10, 10] == expected).any()
            assert (panel[:, :, 2] < 255).all()
