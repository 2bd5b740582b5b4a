"""What the converters of data sets share."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from cct_mm.datasets.conversion import check_size, run, tracked, write_png


def test_mask_of_another_size_is_named_with_both_sizes_and_the_fix():
    check_size(Path('a.png'), (2, 3), 'a.jpg', (2, 3), 'resize it')
    with pytest.raises(ValueError, match=r'a\.png .*4x2 .*expected 3x2 .*a\.jpg.*resize it'):
        check_size(Path('a.png'), (2, 4), 'a.jpg', (2, 3), 'resize it')


@pytest.mark.parametrize('error', [ValueError, FileNotFoundError])
def test_error_about_the_data_ends_a_converter_with_its_message(error):
    def main():
        raise error('x.png is broken')

    with pytest.raises(SystemExit, match=r'^camvid: x\.png is broken$'):
        run('camvid', main)


def test_error_of_the_program_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run('camvid', lambda: 1 / 0)


def test_progress_leaves_stdout_clean(capsys):
    assert list(tracked(iter('abc'), 'converting', 3)) == ['a', 'b', 'c']
    captured = capsys.readouterr()
    assert captured.out == ''
    assert 'converting' in captured.err


def test_png_comes_back_as_it_was(tmp_path):
    labels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    write_png(tmp_path / 'new/x.png', labels)
    assert (cv2.imread(str(tmp_path / 'new/x.png'), cv2.IMREAD_UNCHANGED) == labels).all()
