"""What holds for all pixels, and for all bytes of a file."""

import cv2
import numpy as np
import PIL.Image
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from image_files import GOOD, by_cv2, by_pillow, picture, refused

from cct_mm.datasets.reading import read_header, read_image, read_mask

MASKS = hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)
FEW = settings(max_examples=60, deadline=None)


class TestProperties:
    @FEW
    @given(hnp.arrays(np.uint8, MASKS), st.sampled_from(['PNG', 'TIFF', 'BMP', 'P', 'PGM']))
    def test_masks_of_8_bits_come_back(self, mask, how):
        if how == 'PGM':
            content = by_cv2(mask, '.pgm')
        elif how == 'P':
            image = PIL.Image.fromarray(mask)
            image.putpalette(bytes(range(256)) * 3)
            content = by_pillow(image, 'PNG')
        else:
            content = by_pillow(mask, how)
        np.testing.assert_array_equal(read_mask(content, name='x'), mask)

    @FEW
    @given(hnp.arrays(np.uint16, MASKS), st.sampled_from(['.png', '.tiff']))
    def test_masks_of_16_bits_come_back(self, mask, suffix):
        np.testing.assert_array_equal(read_mask(by_cv2(mask, suffix), name='x'), mask)

    @FEW
    @given(hnp.arrays(bool, MASKS), st.sampled_from(['PNG', 'TIFF']))
    def test_masks_of_1_bit_come_back(self, mask, file_format):
        np.testing.assert_array_equal(read_mask(by_pillow(mask, file_format), name='x'), mask)

    @FEW
    @given(hnp.arrays(np.uint8, MASKS.map(lambda shape: (*shape, 3))))
    def test_colors_come_back(self, image):
        np.testing.assert_array_equal(read_image(by_cv2(image, '.png'), name='x'), image)
        gray = by_cv2(image[..., 0], '.png')
        np.testing.assert_array_equal(read_image(gray, name='x'), image[..., :1].repeat(3, axis=2))
        deep = by_cv2(image.astype(np.uint16), '.png')
        np.testing.assert_array_equal(read_image(deep, name='x', max_value=255), image)

    @FEW
    @given(
        hnp.arrays(np.uint8, MASKS, elements=st.integers(0, 3)), st.integers(0), st.integers(1, 255)
    )
    def test_no_byte_of_a_png_changes_unseen(self, mask, position, change):
        content = bytearray(by_pillow(mask, 'PNG'))
        content[position % len(content)] ^= change
        for read in (read_image, read_mask):
            refused(read, bytes(content), 'file.x')

    @FEW
    @given(
        hnp.arrays(np.uint8, MASKS.map(lambda shape: (*shape, 3))),
        st.sampled_from(['.png', '.jpg', 'progressive']),
        st.floats(0, 1, exclude_max=True),
    )
    def test_no_cut_stays_unseen(self, image, how, share):
        flags = (cv2.IMWRITE_JPEG_PROGRESSIVE, 1) if how == 'progressive' else ()
        content = by_cv2(image, '.jpg' if flags else how, *flags)
        refused(read_image, content[: int(len(content) * share)], 'file.x')

    @FEW
    @given(st.sampled_from(sorted(GOOD)), st.integers(0), st.binary(min_size=1, max_size=20))
    def test_any_file_is_an_image_or_a_sentence(self, kind, position, rubbish):
        content = bytearray(GOOD[kind](picture(8, 9)))
        position %= len(content)
        content[position : position + len(rubbish)] = rubbish
        for read in (read_image, read_mask, read_header):
            try:
                read(bytes(content), name='folder/file.x')
            except ValueError as error:
                assert 'folder/file.x' in str(error)

    @FEW
    @given(
        st.binary(max_size=200), st.sampled_from([b'', b'\xff\xd8\xff', b'II*\0', b'BM', b'P5\n'])
    )
    def test_rubbish_is_an_error_that_names_it(self, rubbish, start):
        for read in (read_image, read_mask):
            try:
                read(start + rubbish, name='folder/file.x')
            except ValueError as error:
                assert 'folder/file.x' in str(error)
