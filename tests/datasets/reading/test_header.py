"""What a file says of its pixels is what they are."""

import numpy as np
import pytest
from image_files import GOOD, by_cv2, by_pillow, picture, refused

from cct_mm.datasets.reading import check_image_header, read_header, read_image, read_mask


class TestHeader:
    @pytest.mark.parametrize('kind', GOOD)
    def test_is_that_of_the_pixels(self, kind, tmp_path):
        content = GOOD[kind](picture())
        path = tmp_path / 'file'
        path.write_bytes(content)
        header = read_header(path)
        assert (header.height, header.width) == (40, 60)
        assert header.orientation == header.pages == 1
        assert header.dtype == ('bool' if '1 bit' in kind else 'uint8')
        gray = any(word in kind for word in ('gray', 'palette', '1 bit', 'gif'))
        channels = {'png, alpha': 4, 'png, gray and alpha': 2, 'jpeg, cmyk': 4}
        channels = channels.get(kind, 1 if gray else 3)
        assert header.channels == channels
        assert str(header) == f'image {path}'
        check_image_header(header)

    def test_is_read_without_the_pixels(self, tmp_path):
        path = tmp_path / 'file.png'
        content = by_cv2(picture(), '.png')[:2000]
        path.write_bytes(content)
        assert read_header(path).width == 60
        refused(read_image, content, 'is truncated')

    @pytest.mark.parametrize('name', ['mask.tga', 'mask.TGA'])
    def test_tga_is_known_by_its_suffix(self, name):
        mask = np.arange(6, dtype=np.uint8).reshape(2, 3)
        content = by_pillow(mask, 'TGA')
        np.testing.assert_array_equal(read_mask(content, name=name), mask)
        refused(read_mask, content, 'no known image format')
