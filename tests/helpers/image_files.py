"""Image files of many kinds, written by libraries and by hand."""

import io
import struct
import zlib

import cv2
import numpy as np
import PIL.Image
import pytest


def picture(height=40, width=60):
    """A smooth color image with some texture, BGR."""
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(0).integers(0, 40, (height, width, 3))
    return (np.stack([4 * y, 3 * x, y + x], axis=-1) + noise).clip(0, 255).astype(np.uint8)


def by_cv2(array, suffix, *flags):
    return cv2.imencode(suffix, array, flags)[1].tobytes()


def by_pillow(array, file_format, mode=None, **kwargs):
    if not isinstance(array, PIL.Image.Image):
        array = PIL.Image.fromarray(array)
    target = io.BytesIO()
    (array.convert(mode) if mode else array).save(target, file_format, **kwargs)
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
    'jpeg, gray': lambda a: by_pillow(a, 'JPEG', 'L'),
    'jpeg, cmyk': lambda a: by_pillow(a, 'JPEG', 'CMYK'),
    'png': lambda a: by_cv2(a, '.png'),
    'png, alpha': lambda a: by_pillow(np.dstack([a, a[..., 0]]), 'PNG'),
    'png, gray': lambda a: by_pillow(a, 'PNG', 'L'),
    'png, gray and alpha': lambda a: by_pillow(a, 'PNG', 'LA'),
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
