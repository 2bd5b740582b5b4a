"""The one way to read an image or a mask, which takes pixels for what they are or refuses them.

Decoders answer much without a word: they turn an image as its EXIF data say, but not its mask; cut
16 bits to 8; cast NaN to class 0; fill the missing part of a JPEG with grey. Here every file is
looked at before its pixels are taken (:func:`read_header`), by the same rules wherever one is read.

JPEGs are decoded by libjpeg-turbo (simplejpeg), whose warnings are errors here, all other formats
by Pillow, and by OpenCV what Pillow would cut to 8 bits. The pixels are those of ``cv2.imread``.
"""

import io
import logging
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import cv2
import numpy as np
import PIL.Image
import PIL.ImageFile
import simplejpeg
from mmengine.logging import print_log

from .headers import (
    Header,
    damaged,
    jpeg_segments,
    png_chunks,
    read_bytes,
    read_header,
    tiff_pages,
)

ORIENTATIONS = (None, 'stored', 'exif')
"""What may be said of images that EXIF data turn, see :func:`read_image`."""

EIGHT_BITS = ('bool', 'uint8')
"""Types of samples that need no scaling; 1 bit is black and white."""

HARMLESS = ('Invalid SOS parameters', 'Warning: unknown JFIF revision')
"""What libjpeg warns of though it changes no pixel."""

COLOR = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION


def read_image(
    source: bytes | str | os.PathLike,
    *,
    name: str | None = None,
    orientation: str | None = None,
    max_value: float | None = None,
    strict: bool = True,
) -> np.ndarray:
    """Read an image as 8 bit BGR.

    Grey values go to all three channels, palettes become their colors, alpha is left out.

    Args:
        source: The path of a file or, from another storage, its bytes.
        name: What messages call it; needed with bytes. Default: the path.
        orientation: What holds for images whose EXIF data say that they are to be turned:
            ``'stored'`` takes the pixels in the file's order, ``'exif'`` turns them (a mask is
            never turned, and has to fit the turned image), None refuses them.
        max_value: The value that becomes 255 in images of more than 8 bits, > 0, such as 4095 for
            12 bits in 16 or 1.0 for floats; None refuses them. 8 bit images are taken as they are.
        strict: Whether a damaged JPEG is refused. If not, it is taken as the decoder leaves it,
            with a warning once per file and process.

    Returns:
        np.ndarray: [H, W, 3], uint8, BGR.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no image, is damaged, or its pixels are not known to be what is expected;
            the message names the file, what was found, and the fix.
    """
    check_image_arguments(orientation, max_value)
    content, name = read_bytes(source, name, 'image')
    header = read_header(content, name=name)
    _check_layout(header, orientation)
    pixels = _decode_image(header, content, strict)
    if header.dtype not in EIGHT_BITS:
        pixels = _to_8_bits(header, pixels, max_value)
    if orientation == 'exif':
        pixels = turn(pixels, header.orientation)
    return np.ascontiguousarray(pixels)


def read_mask(
    source: bytes | str | os.PathLike, *, name: str | None = None, hint: str = ''
) -> np.ndarray:
    """Read a mask: the integer that the file holds for each pixel, in the file's order.

    Palettes give their indices, 1 bit gives 0 and 1, integers of 16 and 32 bits keep their values.
    Which of the values are classes is not checked here.

    Args:
        source: The path of a file or, from another storage, its bytes.
        name: What messages call it; needed with bytes. Default: the path.
        hint: What a message says besides where the file holds no labels, such as colors.

    Returns:
        np.ndarray: [H, W], of an integer type.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no image, is damaged, has several channels or pages, is compressed with
            losses (JPEG), or holds a value that is no whole number; the message names the file,
            what was found, and the fix.
    """
    content, name = read_bytes(source, name, 'mask')
    header = read_header(content, name=name, kind='mask')
    check_mask_header(header, hint)
    return whole_numbers(_decode_mask(header, content), name, hint)


def check_image_arguments(orientation: str | None, max_value: float | None) -> None:
    """Refuse arguments that :func:`read_image` does not know, with a ValueError."""
    if orientation not in ORIENTATIONS:
        raise ValueError(f'orientation is {orientation!r}, expected one of {ORIENTATIONS}')
    number = isinstance(max_value, int | float) and not isinstance(max_value, bool)
    if max_value is not None and not (number and 0 < max_value < float('inf')):
        raise ValueError(f'max_value is {max_value!r}, expected a number above 0, such as 4095')


def check_image_header(
    header: Header, orientation: str | None = None, max_value: float | None = None
) -> None:
    """Refuse an image by its header, as :func:`read_image` does.

    Args:
        header: Of the image.
        orientation: See :func:`read_image`.
        max_value: See :func:`read_image`.

    Raises:
        ValueError: If it cannot be used.
    """
    _check_layout(header, orientation)
    if header.dtype not in EIGHT_BITS and max_value is None:
        raise ValueError(_depth_problem(header))


def check_mask_header(header: Header, hint: str = '') -> None:
    """Refuse a mask by its header, as :func:`read_mask` does.

    Args:
        header: Of the mask.
        hint: See :func:`read_mask`.

    Raises:
        ValueError: If it holds no labels.
    """
    hint = f'; {hint}' if hint else ''
    if header.pages > 1:
        raise ValueError(
            f'{header} has {header.pages} pages, expected one; write the labels to a file of one '
            f'page{hint}'
        )
    if header.lossy:
        raise ValueError(
            f'{header} is compressed as {header.format} with losses, which makes labels up at the '
            f'borders, expected a format without; convert the original labels to PNG, not this '
            f'file{hint}'
        )
    if header.channels != 1:
        alpha = ' (grey and alpha)' if header.channels == 2 else ''
        raise ValueError(
            f'{header} has {header.channels} channels{alpha}, expected one with the class index of '
            f'each pixel{hint}'
        )
    if header.inverted:
        raise ValueError(
            f'{header} is a {header.format} in which 0 is white, so that readers disagree on its '
            f'labels; convert it to PNG and look at the values{hint}'
        )
    if header.dtype.startswith('complex'):
        raise ValueError(
            f'{header} has values of type {header.dtype}, expected integers; write its labels as '
            f'PNG{hint}'
        )


def turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn pixels as an EXIF orientation says.

    Args:
        pixels: As stored, [H, W, ...].
        orientation: 1 to 8.

    Returns:
        np.ndarray: A view of them, [H, W, ...], or [W, H, ...] for 5 to 8.
    """
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def whole_numbers(labels: np.ndarray, name: str, hint: str = '') -> np.ndarray:
    """Return labels as integers.

    Args:
        labels: [H, W]; those of an integer type are returned as they are.
        name: The mask, for messages.
        hint: See :func:`read_mask`.

    Returns:
        np.ndarray: [H, W], int64 where they were floats.

    Raises:
        ValueError: If one is no whole number; the message names value, row and column.
    """
    if labels.dtype.kind in 'iu':
        return labels
    # Beyond 2 ** 53 every float64 is whole; NaN and infinities compare as not close.
    wrong = ~((labels == np.floor(labels)) & (np.abs(labels) < 2**53))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise ValueError(
            f'mask {name} holds {labels[row, column]} at row {row}, column {column} (and '
            f'{int(wrong.sum()) - 1} more values that are no labels), expected whole numbers; '
            f'write the label of each pixel, 255 for none, as an 8 bit PNG'
            f'{f"; {hint}" if hint else ""}'
        )
    return labels.astype(np.int64)


@contextmanager
def _decoding(header: Header, content: bytes) -> Iterator[None]:
    """Look for damage that decoders pass over, and name the file in what they raise."""
    # Others may have switched it on for this process; it fills missing pixels with black.
    switch, PIL.ImageFile.LOAD_TRUNCATED_IMAGES = PIL.ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        if header.format == 'PNG':
            _check_png(content)
        elif header.format == 'TIFF':
            _check_tiff(content)
        elif header.format == 'JPEG2000' and b'\xff\xd9' not in content:
            raise ValueError('its end is missing')
        yield
    except MemoryError:
        raise
    # Decoders raise what they like: from SyntaxError to struct.error.
    except Exception as error:
        raise damaged(header.kind, header.name, content, error) from None
    finally:
        PIL.ImageFile.LOAD_TRUNCATED_IMAGES = switch


def _check_png(content: bytes) -> None:
    """Every chunk of a PNG has a checksum; a byte that changed anywhere is found."""
    for kind, offset, length in png_chunks(io.BytesIO(content)):
        end = offset + length
        checksum = content[end : end + 4]
        if len(checksum) < 4:
            break
        if zlib.crc32(content[offset - 4 : end]) != int.from_bytes(checksum, 'big'):
            name = kind.decode('latin-1')
            raise ValueError(f'the checksum of chunk {name} at byte {offset - 8} is wrong')
        if kind == b'IEND':
            return
    raise ValueError('its end is missing')


def _check_png_rows(header: Header, content: bytes, pixels: np.ndarray) -> None:
    """Refuse a PNG with fewer rows than it says, for which Pillow makes up black ones."""
    interlaced = content[28] == 1
    if not interlaced and pixels[-1].any():
        return
    expected = 0
    for row, column, rows, columns in _ADAM7 if interlaced else [(0, 0, 1, 1)]:
        height = len(range(row, header.height, rows))
        width = len(range(column, header.width, columns))
        # A byte before each row tells its filter.
        expected += height * (1 + -(-width * header.bits * header.channels // 8)) if width else 0
    data = b''.join(
        content[offset : offset + length]
        for kind, offset, length in png_chunks(io.BytesIO(content))
        if kind == b'IDAT'
    )
    found = len(zlib.decompressobj().decompress(data, expected))
    if found < expected:
        raise ValueError(f'it holds {found} of the {expected} bytes of its pixels')


_ADAM7 = (
    (0, 0, 8, 8),
    (0, 4, 8, 8),
    (4, 0, 8, 4),
    (0, 2, 4, 4),
    (2, 0, 4, 2),
    (0, 1, 2, 2),
    (1, 0, 2, 1),
)
"""First row and column of each pass of an interlaced PNG, and the steps to the next ones."""


def _check_tiff(content: bytes) -> None:
    """Each strip or tile of a deflated TIFF has a checksum, at which libtiff does not look."""
    tags = tiff_pages(io.BytesIO(content))[0]
    if tags.get(259) not in (8, 32946):
        return
    offsets, lengths = (tags[324], tags[325]) if 324 in tags else (tags[273], tags[279])
    for offset, length in zip(offsets, lengths, strict=True):
        # Tiles without a value may have no bytes.
        if length:
            zlib.decompress(content[offset : offset + length])


def _without_harmless(content: bytes) -> bytes:
    """Put right in a JPEG what some phones write, see HARMLESS."""
    mended = bytearray(content)
    for marker, position in jpeg_segments(content):
        if marker == 0xE0 and content[position + 4 : position + 9] == b'JFIF\0':
            mended[position + 9] = 1
        if marker == 0xDA:
            end = position + 2 + int.from_bytes(content[position + 2 : position + 4], 'big')
            mended[end - 3 : end] = b'\0\x3f\0'
    return bytes(mended)


def _decode_image(header: Header, content: bytes, strict: bool) -> np.ndarray:
    """Pixels as stored, [H, W, 3] BGR, of the file's own type."""
    if header.format in ('JPEG', 'MPO'):
        return _decode_jpeg(header, content, strict)
    with _decoding(header, content):
        if header.dtype in EIGHT_BITS and header.mode is not None:
            with PIL.Image.open(io.BytesIO(content), formats=[header.format]) as picture:
                pixels = np.asarray(picture.convert('RGB'))[..., ::-1]
        else:
            pixels = _by_cv2(content, header.dtype)
            pixels = pixels[..., :3] if pixels.shape[2] > 1 else pixels.repeat(3, axis=2)
        if header.format == 'PNG':
            _check_png_rows(header, content, pixels)
    return _as_stored(header, pixels)


def _decode_jpeg(header: Header, content: bytes, strict: bool) -> np.ndarray:
    colors = 'CMYK' if header.mode == 'CMYK' else 'BGR'
    try:
        try:
            pixels = simplejpeg.decode_jpeg(content, colors, strict=True)
        except ValueError as error:
            if not str(error).startswith(HARMLESS):
                raise
            pixels = simplejpeg.decode_jpeg(_without_harmless(content), colors, strict=True)
    except ValueError as error:
        if strict:
            said = damaged(header.kind, header.name, content, error)
            raise ValueError(f'{said}, or take it as it is with strict=False') from None
        _warn(f'{header} is damaged, and taken as it can be decoded: {error}')
        try:
            pixels = simplejpeg.decode_jpeg(content, colors, strict=False)
        except ValueError as error:
            raise damaged(header.kind, header.name, content, error) from None
    # libjpeg leaves the colors of CMYK to its callers.
    return cv2.imdecode(np.frombuffer(content, np.uint8), COLOR) if colors == 'CMYK' else pixels


def _decode_mask(header: Header, content: bytes) -> np.ndarray:
    """Values as stored, [H, W]."""
    with _decoding(header, content):
        # Pillow scales a PGM by its maximum.
        if header.mode is None or header.bits > 8 or header.format == 'PPM':
            labels = _by_cv2(content, header.dtype)[..., 0]
        else:
            with PIL.Image.open(io.BytesIO(content), formats=[header.format]) as picture:
                labels = np.asarray(picture)
            labels = labels.astype(np.uint8 if header.dtype == 'bool' else header.dtype)
            if header.mode == 'L' and header.bits in (2, 4):
                # Pillow spreads grey values of 2 and 4 bits over 0 to 255.
                labels = labels // (255 // (2**header.bits - 1))
        if header.format == 'PNG':
            _check_png_rows(header, content, labels)
    return _as_stored(header, labels)


def _by_cv2(content: bytes, dtype: str = 'float32') -> np.ndarray:
    """Samples of any type, [H, W, C], BGR."""
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError(f'OpenCV cannot decode its values of type {dtype}')
    if pixels.dtype != dtype:
        raise ValueError(f'its values are of type {dtype}, which OpenCV reads as {pixels.dtype}')
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _as_stored(header: Header, pixels: np.ndarray) -> np.ndarray:
    """Undo what both Pillow and OpenCV do to TIFFs, whatever they are told."""
    if header.format != 'TIFF':
        return pixels
    return turn(pixels, {6: 8, 8: 6}.get(header.orientation, header.orientation))


def _check_layout(header: Header, orientation: str | None) -> None:
    if header.pages > 1:
        raise ValueError(
            f'{header} has {header.pages} pages or frames, expected one; write each of them to a '
            f'file of its own'
        )
    if not (header.channels in (1, 3, 4) or (header.channels == 2 and header.has_alpha)):
        raise ValueError(
            f'{header} has {header.channels} channels, expected 1 (grey), 3 (colors) or 4 (colors '
            f'and alpha); write the three that the network is to see to a file of their own'
        )
    if header.orientation != 1 and orientation is None:
        raise ValueError(
            f'{header} has EXIF orientation {header.orientation}: viewers turn it, and nothing '
            f'tells whether its mask is turned, too; say which one holds for all images of the '
            f"source: LoadCheckedImage(orientation='stored') for pixels in the order of the file, "
            f"or LoadCheckedImage(orientation='exif') for turned ones"
        )


def _depth_problem(header: Header, found: str = '') -> str:
    return (
        f'{header} has pixels of type {header.dtype}{found}, expected 8 bits; say which value '
        f'becomes 255, as in LoadCheckedImage(max_value=4095), or convert it to 8 bits'
    )


def _to_8_bits(header: Header, pixels: np.ndarray, max_value: float | None) -> np.ndarray:
    wrong = ~np.isfinite(pixels)
    if wrong.any():
        row, column, _ = np.argwhere(wrong)[0]
        raise ValueError(
            f'{header} holds {pixels[wrong][0]} at row {row}, column {column}, expected numbers; '
            f'write the value of missing pixels as 0'
        )
    low, high = pixels.min(), pixels.max()
    if max_value is None:
        raise ValueError(_depth_problem(header, f', values {low} to {high}'))
    if low < 0 or high > max_value:
        raise ValueError(
            f'{header} holds values {low} to {high}, expected 0 to max_value={max_value}; give the '
            f'largest value that images of the source may hold'
        )
    return np.rint(pixels * (255 / max_value)).astype(np.uint8)


@cache
def _warn(text: str) -> None:
    """Warn once per file and process."""
    print_log(text, 'current', logging.WARNING)
