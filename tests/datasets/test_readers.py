"""Every kind of file gives the right pixels or is refused by name, never other pixels."""

import io
import logging
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import PIL.ImageFile
import PIL.ImageOps
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mmengine.logging import MMLogger
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from cct_mm.datasets.headers import png_chunks, read_header, tiff_pages
from cct_mm.datasets.readers import (
    check_image_header,
    check_mask_header,
    read_image,
    read_mask,
    turn,
)

DATA = Path(os.environ.get('CCT_MM_DATA', Path(__file__).parents[2] / 'data'))


def picture(height=40, width=60):
    """A smooth color image with some texture, BGR."""
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(0).integers(0, 40, (height, width, 3))
    return (np.stack([4 * y, 3 * x, y + x], axis=-1) + noise).clip(0, 255).astype(np.uint8)


def by_cv2(array, suffix, *flags):
    return cv2.imencode(suffix, array, flags)[1].tobytes()


def by_pillow(array, format, mode=None, **kwargs):
    if not isinstance(array, PIL.Image.Image):
        array = PIL.Image.fromarray(array)
    target = io.BytesIO()
    (array.convert(mode) if mode else array).save(target, format, **kwargs)
    return target.getvalue()


def chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


def png(rows, width, bits, color_type, *chunks, after=b''):
    """A PNG by hand: one byte string of samples for each row."""
    header = struct.pack('>IIBBBBB', width, len(rows), bits, color_type, 0, 0, 0)
    data = zlib.compress(b''.join(b'\0' + row for row in rows))
    body = chunk(b'IHDR', header) + b''.join(chunks) + chunk(b'IDAT', data) + after
    return b'\x89PNG\r\n\x1a\n' + body + chunk(b'IEND', b'')


def tiff(tags, data):
    """A little-endian TIFF by hand, of one strip or, with its size in 322 and 323, one tile.

    Args:
        tags: Number -> tuple of shorts, beside those of the strip.
        data: The strip.
    """
    offset, length = (324, 325) if 322 in tags else (273, 279)
    tags = {**tags, offset: None, length: (len(data),)}
    extra, entries = b'', b''
    start = 8 + 2 + 12 * len(tags) + 4
    long = sum(2 * len(v) for v in tags.values() if v and len(v) > 2)
    for number, values in sorted(tags.items()):
        if number == offset:
            entries += struct.pack('<HHII', number, 4, 1, start + long)
        elif len(values) > 2:
            entries += struct.pack('<HHII', number, 3, len(values), start + len(extra))
            extra += struct.pack(f'<{len(values)}H', *values)
        elif number == length:
            entries += struct.pack('<HHII', number, 4, 1, *values)
        else:
            entries += struct.pack(
                '<HHIHH', number, 3, len(values), *values, *[0] * (2 - len(values))
            )
    directory = struct.pack('<H', len(tags)) + entries + bytes(4)
    return b'II*\0' + struct.pack('<I', 8) + directory + extra + data


def exif(orientation):
    data = PIL.Image.Exif()
    data[274] = orientation
    return data


def refused(read, content, *parts, **kwargs):
    """The message, which names the file and holds the parts."""
    with pytest.raises(ValueError) as error:
        read(content, name='folder/file.x', **kwargs)
    message = str(error.value)
    assert 'folder/file.x' in message
    for part in parts:
        assert part in message, message
    return message


GOOD = {
    'jpeg': lambda a: by_cv2(a, '.jpg'),
    'jpeg, progressive': lambda a: by_cv2(a, '.jpg', cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    'jpeg, restart markers': lambda a: by_cv2(a, '.jpg', cv2.IMWRITE_JPEG_RST_INTERVAL, 1),
    'jpeg, 4:4:4': lambda a: by_pillow(a, 'JPEG', subsampling=0),
    'jpeg, grey': lambda a: by_pillow(a, 'JPEG', 'L'),
    'jpeg, cmyk': lambda a: by_pillow(a, 'JPEG', 'CMYK'),
    'png': lambda a: by_cv2(a, '.png'),
    'png, alpha': lambda a: by_pillow(np.dstack([a, a[..., 0]]), 'PNG'),
    'png, grey': lambda a: by_pillow(a, 'PNG', 'L'),
    'png, grey and alpha': lambda a: by_pillow(a, 'PNG', 'LA'),
    'png, palette': lambda a: by_pillow(PIL.Image.fromarray(a).quantize(16), 'PNG'),
    'png, transparent palette': lambda a: by_pillow(
        PIL.Image.fromarray(a).quantize(16), 'PNG', transparency=3
    ),
    'png, 1 bit': lambda a: by_pillow(a, 'PNG', '1'),
    'bmp': lambda a: by_cv2(a, '.bmp'),
    'webp': lambda a: by_pillow(a, 'WEBP'),
    'webp, lossless': lambda a: by_pillow(a, 'WEBP', lossless=True),
    'gif': lambda a: by_pillow(a, 'GIF'),
    'tiff': lambda a: by_pillow(a, 'TIFF'),
    'tiff, lzw': lambda a: by_pillow(a, 'TIFF', compression='tiff_lzw'),
    'tiff, deflate': lambda a: by_pillow(a, 'TIFF', compression='tiff_deflate'),
    'tiff, jpeg': lambda a: by_pillow(a, 'TIFF', compression='jpeg'),
    'jpeg 2000': lambda a: by_pillow(a, 'JPEG2000'),
    'ppm': lambda a: by_cv2(a, '.ppm'),
}


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
    def turned(self, orientation, format, **kwargs):
        return by_pillow(picture()[..., ::-1], format, exif=exif(orientation), **kwargs)

    @pytest.mark.parametrize('orientation', range(1, 9))
    @pytest.mark.parametrize('format', ['JPEG', 'PNG', 'WEBP', 'TIFF'])
    def test_is_refused_taken_as_stored_or_turned(self, format, orientation):
        kwargs = {'lossless': True} if format == 'WEBP' else {}
        content = self.turned(orientation, format, **kwargs)
        stored = read_image(self.turned(1, format, **kwargs), name='x')
        assert read_header(content, name='x').orientation == orientation
        np.testing.assert_array_equal(read_image(content, name='x', orientation='stored'), stored)
        expected = PIL.ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(content)))
        np.testing.assert_array_equal(
            read_image(content, name='x', orientation='exif')[..., ::-1],
            turn(stored, orientation)[..., ::-1] if format == 'JPEG' else expected,
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
    @pytest.mark.parametrize('grey', [False, True])
    def test_is_refused_or_scaled(self, kind, grey):
        values = picture().astype(int) * 16
        values = values[..., 0] if grey else values
        content = self.DEEP[kind](values)
        high = values.max()
        message = refused(read_image, content, 'max_value=', kind.split()[0])
        assert f'{high}' in message
        header = read_header(content, name='folder/file.x')
        with pytest.raises(ValueError, match=r'folder/file\.x has pixels of type .*max_value='):
            check_image_header(header)
        check_image_header(header, max_value=4080)
        expected = picture()[..., :1].repeat(3, axis=2) if grey else picture()
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

    @pytest.mark.parametrize('format', ['TIFF', 'GIF', 'PNG', 'WEBP'])
    @pytest.mark.parametrize('read', [read_image, read_mask])
    def test_several_pages_are_refused(self, format, read):
        frames = [PIL.Image.fromarray(picture()[..., i]) for i in range(3)]
        target = io.BytesIO()
        frames[0].save(target, format, save_all=True, append_images=frames[1:])
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
        for format in ('PNG', 'TIFF', 'BMP'):
            labels = read_mask(by_pillow(mask, format), name='x')
            assert labels.dtype.kind in 'iu'
            assert np.bincount(labels.ravel()).tolist() == [6144 - 750, 750]

    def test_2_and_4_bits_of_grey_are_not_spread(self):
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
            (by_pillow(picture(), 'PNG', 'LA'), 'has 2 channels (grey and alpha)'),
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


class TestDamage:
    def test_zeros_in_the_middle_of_a_jpeg(self):
        large = picture(240, 320)
        for flags in ((), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)):
            content = bytearray(by_cv2(large, '.jpg', *flags))
            middle = len(content) // 2
            content[middle : middle + 1000] = bytes(1000)
            refused(read_image, bytes(content), 'JPEG data', 'strict=False')
            image = read_image(bytes(content), name='x', strict=False)
            assert image.shape == large.shape

    def test_is_told_once_where_it_is_taken(self):
        content = by_cv2(picture(), '.jpg')[:-300]
        messages = []
        handler = logging.Handler()
        handler.emit = lambda record: messages.append(record.getMessage())
        logger = MMLogger.get_current_instance()
        logger.addHandler(handler)
        try:
            for name in ('once.jpg', 'once.jpg', 'other.jpg', 'once.jpg'):
                read_image(content, name=name, strict=False)
        finally:
            logger.removeHandler(handler)
        assert [message.split()[1] for message in messages] == ['once.jpg', 'other.jpg']
        assert all('is damaged' in message for message in messages)

    @pytest.mark.parametrize('kind', GOOD)
    def test_cut_file_is_refused(self, kind):
        content = GOOD[kind](picture())
        for share in (0.02, 0.3, 0.5, 0.9, 0.99):
            refused(read_image, content[: int(len(content) * share)], 'copy or download it again')

    @pytest.mark.parametrize('kind', GOOD)
    def test_switch_of_pillow_that_fills_missing_pixels_is_of_no_effect(self, kind, monkeypatch):
        monkeypatch.setattr(PIL.ImageFile, 'LOAD_TRUNCATED_IMAGES', True)
        content = GOOD[kind](picture())
        refused(read_image, content[: len(content) // 2], 'file.x')
        assert PIL.ImageFile.LOAD_TRUNCATED_IMAGES

    def test_raw_files_of_cameras_are_not_taken_for_their_thumbnail(self):
        content = by_pillow(picture(), 'TIFF', tiffinfo={254: 1})
        refused(read_image, content, 'thumbnail')

    def test_every_end_of_a_jpeg(self):
        content = by_cv2(picture(8, 8), '.jpg')
        for length in range(len(content)):
            refused(read_image, content[:length], 'file.x')

    def test_zeros_in_a_deflated_tiff(self):
        # libtiff does not look at the checksums of strips.
        mask = np.kron(np.arange(80, dtype=np.uint8).reshape(8, 10), np.ones((16, 16), np.uint8))
        content = by_pillow(mask, 'TIFF', compression='tiff_deflate')
        tags = PIL.Image.open(io.BytesIO(content)).tag_v2
        for position in range(tags[273][0], tags[273][0] + tags[279][0] - 8):
            damaged = bytearray(content)
            damaged[position : position + 8] = bytes(len(damaged[position : position + 8]))
            if damaged != content:
                refused(read_mask, bytes(damaged), 'Error')

    def test_damage_of_a_deflated_tile(self):
        mask = np.arange(256, dtype=np.uint8).reshape(16, 16)
        tags = {256: (16,), 257: (16,), 258: (8,), 259: (8,), 262: (1,), 277: (1,)}
        tags |= {322: (16,), 323: (16,)}
        data = zlib.compress(mask.tobytes())
        np.testing.assert_array_equal(read_mask(tiff(tags, data), name='x'), mask)
        other = zlib.compress(mask[::-1].tobytes())
        refused(read_mask, tiff(tags, other[:-4] + data[-4:]), 'incorrect data check')

    def test_half_floats_are_not_taken_for_integers(self):
        tags = {256: (3,), 257: (1,), 258: (16,), 259: (1,), 262: (1,), 277: (1,), 339: (3,)}
        content = tiff(tags, np.array([0, 1, 2], np.float16).tobytes())
        refused(read_mask, content, 'float16')
        refused(read_image, content, 'float16', max_value=2)

    @pytest.mark.parametrize(
        ('content', 'parts'),
        [
            (b'', ('cannot be decoded (0 bytes): it is empty',)),
            (bytes(500), ('nothing but zeros',)),
            (
                b'version https://git-lfs.github.com/spec/v1\noid sha256:1\n',
                ('Git LFS', 'lfs pull'),
            ),
            (b'/annex/objects/SHA256E-s3--a.jpg\n', ('git-annex', 'git annex get')),
            (b'<!DOCTYPE html><html><body>404</body></html>', ('HTML', '<!DOCTYPE html>')),
            (b'\n <?xml version="1.0"?><Error><Code>AccessDenied', ('HTML or XML', 'Error')),
            (b'\0\5\x16\7\0\2\0\0Mac OS X', ('macOS resource fork', '._')),
            (b'PK\3\4' + bytes(30), ('ZIP archive', 'unpack')),
            (b'\x1f\x8b' + bytes(30), ('gzip', 'unpack')),
            (b'\0\0\0\x18ftypheic' + bytes(20), ('HEIC', 'convert')),
            (b'\x93NUMPY\1\0', ('array of numpy',)),
            (b'%PDF-1.7', ('PDF',)),
            (b'v/1\1' + bytes(20), ('OpenEXR',)),
            (b'some text', ('no known image format', 'some text')),
            (b'\x89PNG\r\n\x1a\n', ('is truncated', 'PNG header')),
            (b'\xff\xd8\xff\xe0', ('is truncated', 'JPEG header')),
            (b'II*\0\x08\0\0\0', ('cannot be decoded',)),
            (b'GIF89a', ('GIF header',)),
        ],
    )
    def test_what_is_no_image_is_called_what_it_is(self, content, parts):
        for read in (read_image, read_mask, read_header):
            refused(read, content, *parts)

    def test_12_bit_jpeg_is_called_so(self):
        content = bytearray(by_cv2(picture(), '.jpg'))
        content[content.index(b'\xff\xc0') + 4] = 12
        refused(read_image, bytes(content), '12 bits')

    def test_missing_and_unreadable_files_are_named(self, tmp_path):
        for read in (read_image, read_mask, read_header):
            with pytest.raises(FileNotFoundError, match=r'gone\.png does not exist'):
                read(tmp_path / 'gone.png')
            with pytest.raises(ValueError, match='cannot be read .*directory'):
                read(tmp_path)
        (tmp_path / 'link.png').symlink_to('elsewhere.png')
        with pytest.raises(
            FileNotFoundError, match=r'link\.png is a link to elsewhere\.png, which'
        ):
            read_image(tmp_path / 'link.png')

    def test_images_that_fill_the_memory_are_refused(self):
        header = struct.pack('>IIBBBBB', 60_000, 60_000, 8, 0, 0, 0, 0)
        content = png([b'\0'], 1, 8, 0)
        content = content[:8] + chunk(b'IHDR', header) + content[33:]
        for read in (read_image, read_mask):
            refused(read, content, 'is too large', 'tiles')

    def test_texts_that_fill_the_memory_are_refused(self):
        bomb = chunk(b'zTXt', b'a\0\0' + zlib.compress(bytes(100_000_000)))
        refused(read_image, png([b'\0'], 1, 8, 0, bomb), 'too large')


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
    def test_masks_of_1_bit_come_back(self, mask, format):
        np.testing.assert_array_equal(read_mask(by_pillow(mask, format), name='x'), mask)

    @FEW
    @given(hnp.arrays(np.uint8, MASKS.map(lambda shape: (*shape, 3))))
    def test_colors_come_back(self, image):
        np.testing.assert_array_equal(read_image(by_cv2(image, '.png'), name='x'), image)
        grey = by_cv2(image[..., 0], '.png')
        np.testing.assert_array_equal(read_image(grey, name='x'), image[..., :1].repeat(3, axis=2))
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
        grey = any(word in kind for word in ('grey', 'palette', '1 bit', 'gif'))
        channels = {'png, alpha': 4, 'png, grey and alpha': 2, 'jpeg, cmyk': 4}
        channels = channels.get(kind, 1 if grey else 3)
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


class TestRowsOfPng:
    """A PNG whose checksums are right, but whose pixels end before its last row."""

    def with_height(self, content, height):
        header = content[12:20] + height.to_bytes(4, 'big') + content[24:29]
        return content[:12] + header + zlib.crc32(header).to_bytes(4, 'big') + content[33:]

    @pytest.mark.parametrize('interlaced', [False, True])
    @pytest.mark.parametrize('mode', ['L', 'P', 'RGB', '1'])
    def test_are_counted(self, mode, interlaced):
        size = (13, 7)
        pixels = np.zeros((*size[::-1], 3), np.uint8)
        content = encoded_png(PIL.Image.fromarray(pixels).convert(mode), interlaced)
        read = read_image if mode == 'RGB' else read_mask
        assert not read(content, name='x').any()
        with pytest.raises(
            ValueError, match=r'x cannot be decoded .* it holds \d+ of the \d+ bytes'
        ):
            read(self.with_height(content, 8), name='x')


def encoded_png(picture, interlaced):
    """Write a PNG of black pixels, interlaced too, which Pillow does not write."""
    file = io.BytesIO()
    picture.save(file, 'PNG')
    content = file.getvalue()
    if not interlaced:
        return content
    bits, kind = content[24], content[25]
    samples = bits * (3 if kind == 2 else 1)
    data = b''
    for row, column, rows, columns in (
        (0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2),
        (1, 0, 2, 1),
    ):  # fmt: skip
        width = len(range(column, picture.width, columns))
        if width:
            size = 1 + -(-width * samples // 8)
            data += bytes(size) * len(range(row, picture.height, rows))
    made = content[:8]
    for chunk, offset, length in png_chunks(io.BytesIO(content)):
        body = content[offset : offset + length]
        if chunk == b'IHDR':
            body = body[:12] + b'\1'
        elif chunk == b'IDAT':
            body = zlib.compress(data)
        made += len(body).to_bytes(4, 'big') + chunk + body
        made += zlib.crc32(chunk + body).to_bytes(4, 'big')
    return made


def test_channels_of_16_bits_one_after_the_other_are_refused():
    """OpenCV takes the planes for rows of pixels."""
    file = io.BytesIO()
    PIL.Image.fromarray(np.zeros((2, 3), np.uint16)).save(file, 'TIFF')
    content = bytearray(file.getvalue())
    with pytest.raises(ValueError, match=r'x\.tif cannot be decoded .* \(planar configuration 2\)'):
        read_header(with_planes(bytes(content)), name='x.tif')


def with_planes(content):
    """Say in a TIFF of one channel that it has three, in planes."""
    tags = tiff_pages(io.BytesIO(content))[0]
    tags[258], tags[277], tags[284] = (16, 16, 16), 3, 2
    directory = ImageFileDirectory_v2()
    for tag in (256, 257, 258, 259, 262, 277, 284):
        directory[tag] = tags[tag]
    return b'II*\0\x08\0\0\0' + directory.tobytes(8)
