"""Damaged files, and files that are no images, are refused by name."""

import io
import logging
import struct
import zlib

import cv2
import numpy as np
import PIL.Image
import PIL.ImageFile
import pytest
from image_files import GOOD, by_cv2, by_pillow, chunk, picture, png, refused, tiff
from mmengine.logging import MMLogger
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from cct_mm.datasets.reading import read_header, read_image, read_mask
from cct_mm.datasets.reading.containers import png_chunks, tiff_pages


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
    for kind, offset, length in png_chunks(io.BytesIO(content)):
        body = content[offset : offset + length]
        if kind == b'IHDR':
            body = body[:12] + b'\1'
        elif kind == b'IDAT':
            body = zlib.compress(data)
        made += len(body).to_bytes(4, 'big') + kind + body
        made += zlib.crc32(kind + body).to_bytes(4, 'big')
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
