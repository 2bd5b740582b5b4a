"""The pixels of images and the labels of masks.

JPEGs are decoded by libjpeg-turbo (simplejpeg), whose warnings are errors here; OpenCV decodes what
Pillow would cut to 8 bits, and Pillow all other files. The pixels are those of ``cv2.imread``.
"""

import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import cv2
import numpy as np
import PIL.Image
import PIL.ImageFile
import simplejpeg
from mmengine.logging import print_log

from .containers import check_container, check_png_rows, mend_jpeg, png_is_interlaced, tiff_pages
from .header import (
    EIGHT_BITS,
    Header,
    check_image_layout,
    check_mask_header,
    depth_problem,
    read_bytes,
    read_header,
)
from .problems import damaged

ORIENTATIONS = (None, 'stored', 'exif')
"""What may be said of images that EXIF data turn, see :func:`read_image`."""

HARMLESS = ('Invalid SOS parameters', 'Warning: unknown JFIF revision')
"""What libjpeg warns of although it changes no pixel."""

COLOR = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION


def read_image(
    source: bytes | str | os.PathLike,
    *,
    name: str | None = None,
    orientation: str | None = None,
    max_value: float | None = None,
    strict: bool = True,
    channels: int = 3,
) -> np.ndarray:
    """Read an image as 8 bit BGR or, with another number of channels, as they are in the file.

    As BGR, gray values go to all three channels, palettes become their colors, alpha is left out.

    Args:
        source: The path of a file or, from another storage, its bytes.
        name: What messages call it; needed with bytes. Default: the path.
        orientation: What holds for images whose EXIF data say that they are to be turned:
            ``'stored'`` takes the pixels in the file's order, ``'exif'`` turns them (a mask is
            never turned, and has to fit the turned image), None refuses them.
        max_value: The value > 0 that becomes 255 in images of more than 8 bits, such as 4095 for
            12 bits in 16 or 1.0 for floats; None refuses them. It does not apply to 8 bit images.
        strict: Whether a damaged JPEG is refused. If not, it is taken as the decoder leaves it,
            with a warning once per file and process.
        channels: 3 for BGR, 1 for gray images, 4 for files of four channels in their order, such as
            red, green, blue and infrared, of which none is taken for alpha.

    Returns:
        np.ndarray: [H, W, channels], uint8.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is not an image, is damaged, or has pixels of which it is not known
            what they mean; the message names the file, what was found, and the fix.
    """
    check_image_arguments(orientation, max_value, channels)
    content, name = read_bytes(source, name, 'image')
    header = read_header(content, name=name)
    check_image_layout(header, orientation, channels)
    if channels == 3:
        pixels = _decode_image(header, content, strict)
    elif channels == 1:
        # Gray values are the same in all three.
        pixels = _decode_image(header, content, strict)[..., :1]
    else:
        pixels = _decode_channels(header, content)
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
    This function does not check which of the values are classes.

    Args:
        source: The path of a file or, from another storage, its bytes.
        name: What messages call it; needed with bytes. Default: the path.
        hint: Added to the message about a file that holds no labels, such as one with colors.

    Returns:
        np.ndarray: [H, W], of an integer type.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is not an image, is damaged, has several channels or pages, is
            compressed with losses (JPEG), or holds a value that is not a whole number; the message
            names the file, what was found, and the fix.
    """
    content, name = read_bytes(source, name, 'mask')
    header = read_header(content, name=name, kind='mask')
    check_mask_header(header, hint)
    return whole_numbers(_decode_mask(header, content), name, hint)


def check_image_arguments(
    orientation: str | None, max_value: float | None, channels: int = 3
) -> None:
    """Refuse arguments that :func:`read_image` does not know, with a ValueError."""
    if channels not in (1, 3, 4) or isinstance(channels, bool):
        raise ValueError(
            f'channels is {channels!r}, expected 1, 3 or 4; for files of other numbers let '
            "tifffile read them: LoadCheckedImage(imdecode_backend='tifffile', "
            "color_type='unchanged', channels=...)"
        )
    if orientation not in ORIENTATIONS:
        raise ValueError(f'orientation is {orientation!r}, expected one of {ORIENTATIONS}')
    number = isinstance(max_value, int | float) and not isinstance(max_value, bool)
    if max_value is not None and not (number and 0 < max_value < float('inf')):
        raise ValueError(f'max_value is {max_value!r}, expected a number above 0, such as 4095')


def turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Return a view of pixels [H, W, ...], turned as an EXIF orientation, 1 to 8, says."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def whole_numbers(labels: np.ndarray, name: str, hint: str = '') -> np.ndarray:
    """Return labels [H, W] as integers: int64 if they were floats, else as they are.

    Args:
        labels: The labels.
        name: The mask, for messages.
        hint: See :func:`read_mask`.

    Raises:
        ValueError: If a label is not a whole number; the message names value, row and column.
    """
    if labels.dtype.kind in 'iu':
        return labels
    # Every float64 beyond 2 ** 53 is whole. NaN and infinities fail one of the two comparisons.
    wrong = ~((labels == np.floor(labels)) & (np.abs(labels) < 2**53))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise ValueError(
            f'mask {name} holds {labels[row, column]} at row {row}, column {column} (and '
            f'{int(wrong.sum()) - 1} more values that are not labels), expected whole numbers; '
            f'write the label of each pixel, 255 for none, as an 8 bit PNG'
            f'{f"; {hint}" if hint else ""}'
        )
    return labels.astype(np.int64)


@contextmanager
def _decoding(header: Header, content: bytes) -> Iterator[None]:
    """Check for damage that decoders ignore, and name the file in their errors."""
    # Other code may have switched this on; it fills missing pixels with black.
    switch, PIL.ImageFile.LOAD_TRUNCATED_IMAGES = PIL.ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        check_container(header.format, content)
        yield
    except MemoryError:
        raise
    # Decoders raise all kinds of errors, from SyntaxError to struct.error.
    except Exception as error:
        raise damaged(header.kind, header.name, content, error) from None
    finally:
        PIL.ImageFile.LOAD_TRUNCATED_IMAGES = switch


def _decode_image(header: Header, content: bytes, strict: bool) -> np.ndarray:
    """Return the pixels as stored, [H, W, 3] BGR, of the file's own type."""
    if header.format in ('JPEG', 'MPO'):
        return _decode_jpeg(header, content, strict)
    with _decoding(header, content):
        if header.dtype in EIGHT_BITS and header.mode is not None:
            with PIL.Image.open(io.BytesIO(content), formats=[header.format]) as picture:
                pixels = np.asarray(picture.convert('RGB'))[..., ::-1]
        else:
            pixels = _by_cv2(content, header.dtype)
            pixels = pixels[..., :3] if pixels.shape[2] > 1 else pixels.repeat(3, axis=2)
        _check_rows(header, content, pixels)
    return _as_stored(header, pixels)


def _decode_channels(header: Header, content: bytes) -> np.ndarray:
    """Return four channels as stored, [H, W, 4], in the order of the file and of its own type."""
    with _decoding(header, content):
        # What they take for alpha changes the colors: libtiff (in OpenCV) multiplies them by one of
        # kind 2, and Pillow divides them by one of kind 1.
        extra = tiff_pages(io.BytesIO(content))[0].get(338, ()) if header.format == 'TIFF' else (2,)
        if header.dtype in EIGHT_BITS and 2 in extra:
            with PIL.Image.open(io.BytesIO(content), formats=[header.format]) as picture:
                pixels = np.asarray(picture)
        else:
            pixels = _by_cv2(content, header.dtype)[..., [2, 1, 0, 3]]
        _check_rows(header, content, pixels)
    return _as_stored(header, pixels)


def _decode_jpeg(header: Header, content: bytes, strict: bool) -> np.ndarray:
    colors = 'CMYK' if header.mode == 'CMYK' else 'BGR'
    try:
        try:
            pixels = simplejpeg.decode_jpeg(content, colors, strict=True)
        except ValueError as error:
            if not str(error).startswith(HARMLESS):
                raise
            pixels = simplejpeg.decode_jpeg(mend_jpeg(content), colors, strict=True)
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
    """Return the values as stored, [H, W]."""
    with _decoding(header, content):
        # Pillow scales a PGM by its maximum.
        if header.mode is None or header.bits > 8 or header.format == 'PPM':
            labels = _by_cv2(content, header.dtype)[..., 0]
        else:
            with PIL.Image.open(io.BytesIO(content), formats=[header.format]) as picture:
                labels = np.asarray(picture)
            labels = labels.astype(np.uint8 if header.dtype == 'bool' else header.dtype)
            if header.mode == 'L' and header.bits in (2, 4):
                # Pillow spreads gray values of 2 and 4 bits over 0 to 255.
                labels = labels // (255 // (2**header.bits - 1))
        _check_rows(header, content, labels)
    return _as_stored(header, labels)


def _check_rows(header: Header, content: bytes, pixels: np.ndarray) -> None:
    if header.format != 'PNG':
        return
    # A last row that is not black was there.
    if png_is_interlaced(content) or not pixels[-1].any():
        check_png_rows(content, header.width, header.height, header.bits * header.channels)


def _by_cv2(content: bytes, dtype: str) -> np.ndarray:
    """Return the samples of a file as [H, W, C], BGR."""
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
        raise ValueError(depth_problem(header, f', values {low} to {high}'))
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
