"""The dense CRF, where it is installed, and what is said where it is not."""

import sys

import numpy as np
import pytest

from cct_mm.weak.crf import CRF, import_crf


@pytest.fixture
def halves():
    """A picture of two colours, whose border the labels miss by two pixels."""
    image = np.zeros((24, 24, 3), np.uint8)
    image[:, 12:] = 200
    labels = np.zeros((24, 24), np.uint8)
    labels[:, 14:] = 5
    return image, labels


class TestRefine:
    @pytest.fixture(autouse=True)
    def installed(self):
        pytest.importorskip('pydensecrf', reason='the extra crf is not installed')

    def test_moves_labels_to_the_border_of_colours(self, halves):
        image, labels = halves
        refined = CRF().refine(image, labels)
        assert (refined == np.where(image[..., 0] > 0, 5, 0)).all()

    def test_gives_every_pixel_one_of_the_labels_that_occur(self, halves):
        image, labels = halves
        labels[:, 8:16] = 255
        refined = CRF().refine(image, labels)
        assert set(np.unique(refined)) == {0, 5}
        assert (refined == np.where(image[..., 0] > 0, 5, 0)).all()

    def test_may_be_told_of_labels_that_do_not_occur(self, halves):
        image, labels = halves
        # A third label takes its share of the doubt about every pixel.
        refined = CRF().refine(image, labels, among=(0, 3, 5))
        assert set(np.unique(refined)) <= {0, 3, 5}
        assert (refined == np.where(image[..., 0] > 0, 5, 0)).all()

    def test_does_not_depend_on_which_labels_they_are(self, halves):
        image, labels = halves
        other = CRF().refine(image, np.where(labels == 5, 17, 3).astype(np.uint8))
        assert (np.where(other == 17, 5, 0) == CRF().refine(image, labels)).all()


def test_one_label_fills_the_image_and_none_stays_none(halves):
    image, labels = halves
    labels[labels == 0] = 255
    assert (CRF().refine(image, labels) == 5).all()
    nothing = np.full_like(labels, 255)
    assert (CRF().refine(image, nothing) == 255).all()


def test_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'pydensecrf', None)
    monkeypatch.setitem(sys.modules, 'pydensecrf.densecrf', None)
    with pytest.raises(ImportError, match=r'pip install -e \.\[crf\].*--no-crf'):
        import_crf()
