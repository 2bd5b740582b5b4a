"""Images of one or four channels are read as they are in the file."""

import cv2
import numpy as np
import pytest
from image_files import by_cv2, by_pillow, picture, tiff
from PIL import Image

from cct_mm.datasets.reading import read_image


def four(dtype=np.uint8, highest=255):
    return np.random.default_rng(0).integers(0, highest, (6, 5, 4), endpoint=True, dtype=dtype)


def tiff_of(pixels, *extra):
    height, width, channels = pixels.shape
    bits = 8 * pixels.dtype.itemsize
    tags = {256: (width,), 257: (height,), 258: (bits,) * channels, 259: (1,), 262: (2,)}
    tags |= {277: (channels,), 278: (height,), 284: (1,)} | ({338: extra} if extra else {})
    return tiff(tags, pixels.astype(f'<u{pixels.dtype.itemsize}').tobytes())


class TestOne:
    @pytest.mark.parametrize('suffix', ['.png', '.jpg', '.tiff', '.bmp'])
    def test_is_the_gray_of_the_file(self, suffix):
        content = by_cv2(picture()[..., 1], suffix)
        expected = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
        found = read_image(content, name='a', channels=1)
        np.testing.assert_array_equal(found, expected[..., None])

    @pytest.mark.parametrize('suffix', ['.png', '.tiff'])
    def test_of_16_bits_is_scaled(self, suffix):
        gray = picture()[..., 1]
        content = by_cv2(gray.astype(np.uint16) * 16, suffix)
        found = read_image(content, name='a', channels=1, max_value=255 * 16)
        np.testing.assert_array_equal(found[..., 0], gray)

    def test_leaves_alpha_out(self):
        gray = picture()[..., 1]
        both = Image.merge('LA', [Image.fromarray(gray), Image.fromarray(255 - gray)])
        found = read_image(by_pillow(both, 'PNG'), name='a', channels=1)
        np.testing.assert_array_equal(found[..., 0], gray)

    @pytest.mark.parametrize(('mode', 'found'), [('RGB', 3), ('P', '1 .* colors'), ('RGBA', 4)])
    def test_is_refused_of_colors(self, mode, found):
        content = by_pillow(picture(), 'PNG', mode)
        with pytest.raises(ValueError, match=f'^image a has {found}.* channels=1|channels=1'):
            read_image(content, name='a', channels=1)


class TestFour:
    @pytest.mark.parametrize('extra', [(), (0,), (1,), (2,)])
    @pytest.mark.parametrize(('dtype', 'highest'), [(np.uint8, 255), (np.uint16, 4095)])
    def test_are_those_of_a_tiff_whatever_it_calls_the_last(self, extra, dtype, highest):
        pixels = four(dtype, highest)
        found = read_image(tiff_of(pixels, *extra), name='a', channels=4, max_value=highest)
        np.testing.assert_array_equal(found, np.rint(pixels * (255 / highest)))

    @pytest.mark.parametrize(('dtype', 'highest'), [(np.uint8, 255), (np.uint16, 65535)])
    def test_are_those_of_a_png(self, dtype, highest):
        pixels = four(dtype, highest)
        content = by_cv2(np.ascontiguousarray(pixels[..., [2, 1, 0, 3]]), '.png')
        found = read_image(content, name='a', channels=4, max_value=highest)
        np.testing.assert_array_equal(found, np.rint(pixels * (255 / highest)))

    @pytest.mark.parametrize('mode', ['L', 'RGB', 'P'])
    def test_are_needed(self, mode):
        with pytest.raises(ValueError, match=r'^image a has [13] channels.*, expected 4, as'):
            read_image(by_pillow(picture(), 'PNG', mode), name='a', channels=4)

    def test_of_ink_are_others(self):
        content = by_pillow(Image.fromarray(picture()).convert('CMYK'), 'JPEG')
        with pytest.raises(ValueError, match=r'4 channels \(of ink\), expected 4'):
            read_image(content, name='a', channels=4)


@pytest.mark.parametrize('channels', [0, 2, 5, '4', True, None])
def test_other_numbers_are_refused_with_the_way_to_read_them(channels):
    with pytest.raises(ValueError, match='channels is .*, expected 1, 3 or 4; .*tifffile'):
        read_image(b'', name='a', channels=channels)
