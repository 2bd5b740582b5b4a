"""Predictions as mmseg's ``test.py --out`` writes them."""

import cv2
import pytest
import torch

from cct_mm.evaluation.prediction_files import PredictionFiles


def sample(path, labels, **meta):
    return dict(img_path=path, pred_sem_seg=dict(data=torch.tensor([labels])), **meta)


@pytest.mark.parametrize('reduced', [False, True])
def test_files_hold_the_labels_as_their_data_set_counts_them(tmp_path, reduced):
    PredictionFiles(tmp_path).write(
        sample('a/x.jpg', [[0, 1], [2, 149]], reduce_zero_label=reduced), 'day'
    )
    found = cv2.imread(str(tmp_path / 'day/x.png'), cv2.IMREAD_UNCHANGED)
    assert (found - reduced).tolist() == [[0, 1], [2, 149]]


def test_two_images_of_one_name_are_told(tmp_path):
    files = PredictionFiles(tmp_path)
    files.write(sample('a/x.jpg', [[0]]), '')
    files.write(sample('a/x.jpg', [[0]]), '')
    files.write(sample('b/x.jpg', [[0]]), 'night')
    with pytest.raises(ValueError, match=r'x\.png is the prediction of a/x\.jpg and of b/x\.jpg'):
        files.write(sample('b/x.jpg', [[0]]), '')
