"""Every kind of file gives the right pixels or is refused by name, never other pixels."""

import io
import os
import struct
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import simplejpeg
from image_files import GOOD, by_cv2, by_pillow, chunk, exif, picture, png, refused, tiff

from cct_mm.datasets.reading import (
    check_image_header,
    check_mask_header,
    read_header,
    read_image,
    read_mask,
)
from cct_mm.datasets.reading.pixels import turn

DATA = Path(os.environ.get('CCT_MM_DATA', Path(__file__).parents[3] / 'data'))


class TestImages:
    @pytest.mark.parametrize('kind', GOOD)
    def test_are_those_of_opencv(self, kind):
        content = GOOD[kind](picture())
        expected = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        image = read_image(content, name='x')
        np.testing.assert_array_equal(image, expected)
        assert image.dtype == np.uint8
        assert image.flags.c_contiguous

    def test_alpha_is_left_out(self):
        # OpenCV darkens the colors of a TIFF by it.
        rgba = np.dstack([picture()[..., ::-1], np.full((40, 60), 128, np.uint8)])
        np.testing.assert_array_equal(read_image(by_pillow(rgba, 'TIFF'), name='x'), picture())

    def test_cmyk_has_its_colors(self):
        red = np.full((16, 16, 3), (0, 0, 255), np.uint8)
        content = by_pillow(red[..., ::-1], 'JPEG', 'CMYK', quality=95)
        assert np.abs(read_image(content, name='x').astype(int) - red).max() < 4

    def test_content_counts_and_not_the_suffix(self, tmp_path):
        path = tmp_path / 'a.jpg'
        path.write_bytes(by_cv2(picture(), '.png'))
        np.testing.assert_array_equal(read_image(path), picture())
        np.testing.assert_array_equal(read_image(str(path)), picture())

    @pytest.mark.parametrize('suffix', ['.jpg', '.png'])
    def test_bytes_after_the_end_are_no_fault(self, suffix):
        content = by_cv2(picture(), suffix)
        image = read_image(content + b'\xff\xda trailer of a phone', name='x')
        np.testing.assert_array_equal(image, read_image(content, name='x'))

    def test_second_pictures_of_a_phone_are_none(self):
        # An MPO: a preview or a map of depths follows.
        frames = [PIL.Image.fromarray(picture()), PIL.Image.new('RGB', (8, 8))]
        target = io.BytesIO()
        frames[0].save(target, 'MPO', save_all=True, append_images=frames[1:])
        assert read_image(target.getvalue(), name='x').shape == (40, 60, 3)

    def test_warnings_that_change_no_pixel_are_passed_over(self):
        content = by_cv2(picture(), '.jpg')
        scan = content.index(b'\xff\xda')
        length = int.from_bytes(content[scan + 2 : scan + 4], 'big')
        odd = bytearray(content)
        odd[scan + length - 1 : scan + length + 2] = bytes(3)
        odd[content.index(b'JFIF\0') + 5] = 2
        with pytest.raises(ValueError, match='Invalid SOS parameters|unknown JFIF revision'):
            simplejpeg.decode_jpeg(bytes(odd))
        np.testing.assert_array_equal(
            read_image(bytes(odd), name='x'), read_image(content, name='x')
        )


class TestOrientation:
    def turned(self, orientation, file_format, **kwargs):
        return by_pillow(picture()[..., ::-1], file_format, exif=exif(orientation), **kwargs)

    @pytest.mark.parametrize('orientation', range(1, 9))
    @pytest.mark.parametrize('file_format', ['JPEG', 'PNG', 'WEBP', 'TIFF'])
    def test_is_refused_taken_as_stored_or_turned(self, file_format, orientation):
        kwargs = {'lossless': True} if file_format == 'WEBP' else {}
        content = self.turned(orientation, file_format, **kwargs)
        stored = read_image(self.turned(1, file_format, **kwargs), name='x')
        assert read_header(content, name='x').orientation == orientation
        np.testing.assert_array_equal(read_image(content, name='x', orientation='stored'), stored)
        expected = PIL.ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(content)))
        np.testing.assert_array_equal(
            read_image(content, name='x', orientation='exif')[..., ::-1],
            turn(stored, orientation)[..., ::-1] if file_format == 'JPEG' else expected,
        )
        if orientation > 1:
            both = ("orientation='stored'", "orientation='exif'")
            refused(read_image, content, f'EXIF orientation {orientation}', *both)
            refused(
                lambda content, name: check_image_header(read_header(content, name=name)),
                content,
                f'EXIF orientation {orientation}',
            )

    @pytest.mark.parametrize('orientation', range(1, 9))
    def test_turns_as_pillow_does(self, orientation):
        array = np.arange(6, dtype=np.uint8).reshape(2, 3)
        image = PIL.Image.open(io.BytesIO(by_pillow(array, 'PNG', exif=exif(orientation))))
        expected = np.asarray(PIL.ImageOps.exif_transpose(image))
        np.testing.assert_array_equal(turn(array, orientation), expected)

    def test_is_found_after_the_pixels_of_a_png(self):
        data = exif(6).tobytes().removeprefix(b'Exif\0\0')
        content = png([b'\1\2'], 2, 8, 0, after=chunk(b'eXIf', data))
        refused(read_image, content, 'EXIF orientation 6')
        assert read_image(content, name='x', orientation='exif')[..., 0].tolist() == [[1], [2]]

    @pytest.mark.parametrize('value', [0, 9, 1])
    def test_other_values_turn_nothing(self, value):
        image = read_image(self.turned(value, 'PNG'), name='x')
        np.testing.assert_array_equal(image, picture())

    def test_damaged_exif_data_turn_nothing(self):
        content = png([b'\1\2'], 2, 8, 0, chunk(b'eXIf', b'II*\0\xff\xff'))
        assert read_image(content, name='x')[..., 0].tolist() == [[1, 2]]

    @pytest.mark.parametrize('orientation', range(1, 9))
    @pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
    def test_turns_no_mask(self, orientation, dtype):
        # Pillow and OpenCV turn all TIFFs, OpenCV all images.
        mask = np.arange(6, dtype=dtype).reshape(2, 3)
        for content in (
            by_pillow(mask, 'TIFF', tiffinfo={274: orientation}),
            by_pillow(mask, 'PNG', exif=exif(orientation)),
        ):
            np.testing.assert_array_equal(read_mask(content, name='x'), mask)


class TestDepth:
    DEEP = {
        'uint16 png': lambda a: by_cv2(a.astype(np.uint16), '.png'),
        'uint16 tiff': lambda a: by_cv2(a.astype(np.uint16), '.tiff'),
        'int16 tiff': lambda a: by_cv2(a.astype(np.int16), '.tiff'),
        'float32 tiff': lambda a: by_cv2(a.astype(np.float32), '.tiff'),
        'float64 tiff': lambda a: by_cv2(a.astype(np.float64), '.tiff'),
    }

    @pytest.mark.parametrize('kind', DEEP)
    @pytest.mark.parametrize('gray', [False, True])
    def test_is_refused_or_scaled(self, kind, gray):
        values = picture().astype(int) * 16
        values = values[..., 0] if gray else values
        content = self.DEEP[kind](values)
        high = values.max()
        message = refused(read_image, content, 'max_value=', kind.split()[0])
        assert f'{high}' in message
        header = read_header(content, name='folder/file.x')
        with pytest.raises(ValueError, match=r'folder/file\.x has pixels of type .*max_value='):
            check_image_header(header)
        check_image_header(header, max_value=4080)
        expected = picture()[..., :1].repeat(3, axis=2) if gray else picture()
        np.testing.assert_array_equal(read_image(content, name='x', max_value=4080), expected)
        refused(read_image, content, f'to {high}', 'max_value=1000', max_value=1000)

    def test_floats_from_0_to_1(self):
        content = by_cv2(np.array([[0, 0.5, 1]], np.float32), '.tiff')
        image = read_image(content, name='x', max_value=1.0)
        assert image[0, :, 0].tolist() == [0, 128, 255]

    @pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
    def test_what_is_no_number_is_named_with_its_place(self, value):
        values = np.ones((4, 5), np.float32)
        values[2, 3] = value
        content = by_cv2(values, '.tiff')
        refused(read_image, content, f'{value} at row 2, column 3', max_value=1.0)

    def test_negative_values_are_refused(self):
        content = by_cv2(np.array([[-3, 5]], np.int16), '.tiff')
        refused(read_image, content, 'values -3 to 5', max_value=255)

    def test_alpha_counts_not_for_the_range(self):
        values = np.zeros((2, 2, 4), np.uint16)
        values[..., :3], values[..., 3] = 100, 65535
        image = read_image(by_cv2(values, '.png'), name='x', max_value=255)
        assert (image == 100).all()

    def test_8_bits_are_taken_as_they_are(self):
        image = read_image(by_cv2(picture(), '.png'), name='x', max_value=4095)
        np.testing.assert_array_equal(image, picture())

    @pytest.mark.parametrize('value', [0, -1, float('nan'), float('inf')])
    def test_max_value_is_checked(self, value):
        with pytest.raises(ValueError, match='max_value is .*, expected a number above 0'):
            read_image(by_cv2(picture(), '.png'), name='x', max_value=value)

    def test_radiance(self):
        values = np.full((3, 4, 3), 0.5, np.float32)
        content = by_cv2(values, '.hdr')
        refused(read_image, content, 'float32', 'max_value')
        assert (read_image(content, name='x', max_value=1) == 128).all()

    def test_small_maximum_of_a_pgm(self):
        assert read_image(b'P5\n2 1\n15\n\0\x0f', name='x')[..., 0].tolist() == [[0, 255]]
        content = b'P5\n2 1\n4095\n\0\0\x0f\xff'
        refused(read_image, content, 'uint16')
        assert read_image(content, name='x', max_value=4095)[0, :, 0].tolist() == [0, 255]


def many_channels(channels, bits=8):
    tags = {
        256: (2,), 257: (1,), 258: (bits,) * channels, 259: (1,), 262: (1,), 277: (channels,),
        338: (0,) * (channels - 1),
    }  # fmt: skip
    return tiff(tags, bytes(range(2 * channels * bits // 8)))


class TestChannelsAndPages:
    @pytest.mark.parametrize('channels', [2, 5, 8])
    def test_channels_that_are_no_colors_are_refused(self, channels):
        refused(read_image, many_channels(channels), f'has {channels} channels, expected 1')
        refused(read_mask, many_channels(channels), f'has {channels} channels')

    def test_fourth_channel_is_left_out(self):
        rgba = np.dstack([picture(), picture()[..., 0]])
        np.testing.assert_array_equal(read_image(by_cv2(rgba, '.tiff'), name='x'), picture())

    @pytest.mark.parametrize('file_format', ['TIFF', 'GIF', 'PNG', 'WEBP'])
    @pytest.mark.parametrize('read', [read_image, read_mask])
    def test_several_pages_are_refused(self, file_format, read):
        frames = [PIL.Image.fromarray(picture()[..., i]) for i in range(3)]
        target = io.BytesIO()
        frames[0].save(target, file_format, save_all=True, append_images=frames[1:])
        refused(read, target.getvalue(), 'has 3 pages', 'expected one')

    def test_overviews_of_a_tiff_are_no_pages(self):
        mask = np.arange(6, dtype=np.uint8).reshape(2, 3)
        small = PIL.Image.fromarray(mask[::2, ::2])
        small.encoderinfo = {'tiffinfo': {254: 1}}
        target = io.BytesIO()
        PIL.Image.fromarray(mask).save(target, 'TIFF', save_all=True, append_images=[small])
        np.testing.assert_array_equal(read_mask(target.getvalue(), name='x'), mask)


class TestMasks:
    @pytest.mark.parametrize('dtype', ['uint8', 'uint16', 'int32', 'int8', 'int16', 'uint32'])
    def test_integers_keep_their_values(self, dtype):
        info = np.iinfo(dtype)
        mask = np.array([[0, 1, info.max], [info.min, 7, 127]], dtype)
        contents = [by_cv2(mask, '.tiff')]
        if dtype in ('uint8', 'uint16'):
            contents += [by_cv2(mask, '.png'), by_pillow(mask, 'PNG'), by_cv2(mask, '.pgm')]
        for content in contents:
            labels = read_mask(content, name='x')
            assert labels.dtype.kind in 'iu'
            assert labels.tolist() == mask.tolist()

    def test_big_endian(self):
        data = struct.pack('>6H', 0, 1, 2, 300, 4, 5)
        image = PIL.Image.frombytes('I;16B', (3, 2), data)
        content = by_pillow(image, 'TIFF')
        assert content.startswith(b'MM')
        assert read_mask(content, name='x').tolist() == [[0, 1, 2], [300, 4, 5]]

    def test_1_bit(self):
        mask = np.zeros((64, 96), bool)
        mask[10:40, 20:45] = True
        for file_format in ('PNG', 'TIFF', 'BMP'):
            labels = read_mask(by_pillow(mask, file_format), name='x')
            assert labels.dtype.kind in 'iu'
            assert np.bincount(labels.ravel()).tolist() == [6144 - 750, 750]

    def test_2_and_4_bits_of_gray_are_not_spread(self):
        assert read_mask(png([b'\x1b'], 4, 2, 0), name='x').tolist() == [[0, 1, 2, 3]]
        assert read_mask(png([b'\x01\x2f'], 4, 4, 0), name='x').tolist() == [[0, 1, 2, 15]]
        tags = {256: (4,), 257: (1,), 258: (4,), 259: (1,), 262: (1,), 277: (1,)}
        assert read_mask(tiff(tags, b'\x01\x2f'), name='x').tolist() == [[0, 1, 2, 15]]

    @pytest.mark.parametrize('bits', [1, 2, 4, 8])
    def test_palettes_keep_their_indices(self, bits):
        rows = {1: b'\x50', 2: b'\x1b', 4: b'\x01\x2f', 8: b'\0\1\2\xff'}[bits]
        expected = {1: [0, 1, 0, 1], 2: [0, 1, 2, 3], 4: [0, 1, 2, 15], 8: [0, 1, 2, 255]}[bits]
        palette = chunk(b'PLTE', bytes(3 * 2**bits))
        for chunks in ([palette], [palette, chunk(b'tRNS', b'\0')]):
            content = png([rows], 4, bits, 3, *chunks)
            assert read_mask(content, name='x').tolist() == [expected]

    def test_small_maximum_of_a_pgm_scales_nothing(self):
        assert read_mask(b'P5\n3 1\n20\n\x01\x02\x14', name='x').tolist() == [[1, 2, 20]]

    @pytest.mark.parametrize('dtype', [np.float32, np.float64])
    def test_floats_that_are_whole_are_labels(self, dtype):
        labels = read_mask(by_cv2(np.array([[0, 3, 255]], dtype), '.tiff'), name='x')
        assert labels.dtype.kind in 'iu'
        assert labels.tolist() == [[0, 3, 255]]

    @pytest.mark.parametrize('value', [np.nan, np.inf, 0.5, 1.5, -0.25, 1e30])
    def test_floats_that_are_not_are_named_with_their_place(self, value):
        mask = np.ones((3, 4), np.float32)
        mask[1, 2] = value
        content = by_cv2(mask, '.tiff')
        place = f'{np.float32(value)} at row 1, column 2'
        refused(read_mask, content, place, 'read the docs', hint='read the docs')

    @pytest.mark.parametrize(
        ('content', 'message'),
        [
            (by_cv2(picture(), '.png'), 'has 3 channels, expected one with the class index'),
            (by_pillow(picture(), 'PNG', 'RGBA'), 'has 4 channels'),
            (by_pillow(picture(), 'PNG', 'LA'), 'has 2 channels (gray and alpha)'),
            (by_cv2(picture(), '.webp'), 'has 3 channels'),
            (by_cv2(picture()[..., 0], '.jpg'), 'compressed as JPEG with losses'),
            (by_cv2(picture(), '.jpg'), 'compressed as JPEG with losses'),
            (by_pillow(picture()[..., 0], 'TIFF', compression='jpeg'), 'compressed as TIFF with'),
            (by_pillow(picture()[..., 0], 'JPEG2000', irreversible=True), 'with losses'),
            (by_pillow(picture()[..., 0] > 99, 'PPM'), 'in which 0 is white'),
            (by_pillow(picture()[..., 0], 'TIFF', tiffinfo={262: 0}), 'in which 0 is white'),
        ],
    )
    def test_what_holds_no_labels_is_refused(self, content, message):
        assert 'read the docs' in refused(read_mask, content, message, hint='read the docs')
        with pytest.raises(ValueError, match='file.x'):
            check_mask_header(read_header(content, name='file.x', kind='mask'))

    def test_lossless_jpeg_2000_is_none(self):
        mask = picture()[..., 0]
        np.testing.assert_array_equal(read_mask(by_pillow(mask, 'JPEG2000'), name='x'), mask)


class TestRealData:
    """On the data sets that are there."""

    @pytest.mark.parametrize('name', ['CamVid', 'SUNRGBD', 'VOCdevkit', 'cityscapes'])
    def test_pixels_are_those_of_opencv(self, name):
        images = sorted((DATA / name).rglob('*.jpg'))[::25]
        if not images:
            pytest.skip(f'{name} has no JPEGs in {DATA}; set CCT_MM_DATA')
        for path in images:
            np.testing.assert_array_equal(read_image(path), cv2.imread(str(path)))

    @pytest.mark.parametrize('name', ['CamVid', 'SUNRGBD', 'VOCdevkit', 'cityscapes'])
    def test_masks_are_those_of_pillow(self, name):
        masks = sorted((DATA / name).rglob('*.png'))[::25]
        if not masks:
            pytest.skip(f'{name} has no PNGs in {DATA}; set CCT_MM_DATA')
        for path in masks:
            with PIL.Image.open(path) as mask:
                if mask.mode in ('L', 'P'):
                    np.testing.assert_array_equal(read_mask(path), np.asarray(mask))
