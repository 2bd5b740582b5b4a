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
from dataclasses import dataclass
from functools import cache
from typing import Any, BinaryIO

import cv2
import numpy as np
import PIL.Image
import simplejpeg
from mmengine.logging import print_log
from PIL.TiffImagePlugin import ImageFileDirectory_v2

ORIENTATIONS = (None, 'stored', 'exif')
"""What may be said of images that EXIF data turn, see :func:`read_image`."""

EIGHT_BITS = ('bool', 'uint8')
"""Types of samples that need no scaling; 1 bit is black and white."""

PIL.Image.init()
# What OpenCV reads and a little more: no EPS, whose reader is a program, and no videos.
FORMATS = [
    name
    for name in ('AVIF BMP GIF JPEG JPEG2000 MPO PCX PNG PPM SGI SUN TIFF WEBP').split()
    if name in PIL.Image.OPEN
]
"""Pillow's names of the formats that are read; TGA, which has no signature, by its suffix."""

PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'
TIFF_SIGNATURES = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')
RADIANCE_SIGNATURES = (b'#?RADIANCE', b'#?RGBE')
IMAGE_SIGNATURES = {
    b'\xff\xd8\xff': 'JPEG',
    PNG_SIGNATURE: 'PNG',
    **dict.fromkeys(TIFF_SIGNATURES, 'TIFF'),
    b'GIF8': 'GIF',
    b'BM': 'BMP',
    b'RIFF': 'WebP',
}

OTHER_FILES = {
    b'version https://git-lfs': ('a pointer of Git LFS, not the file itself', 'run git lfs pull'),
    b'/annex/objects': ('a pointer of git-annex, not the file itself', 'run git annex get'),
    b'\0\5\x16\7': ('a macOS resource fork (AppleDouble), not the file', 'delete all ._* files'),
    b'\0\5\x16\0': ('a macOS resource fork (AppleSingle), not the file', 'copy the file again'),
    b'PK\3\4': ('a ZIP archive', 'unpack it'),
    b'\x1f\x8b': ('compressed by gzip', 'unpack it'),
    b'\x93NUMPY': ('an array of numpy', 'write it as PNG'),
    b'%PDF': ('a PDF document', 'export the picture as PNG'),
    b'8BPS': ('a Photoshop document', 'export the picture as PNG'),
    b'v/1\1': ('an OpenEXR image, which is not read', 'convert it to a float32 TIFF'),
}
"""First bytes of a file -> what it is instead of an image, and the fix."""


@dataclass(frozen=True)
class Header:
    """What a file says of its pixels before they are decoded.

    Args:
        kind: ``'image'`` or ``'mask'``, for messages.
        name: The file, for messages.
        format: Pillow's name of its format, whatever the suffix says: ``'JPEG'``, ``'PNG'``, ...
        width: In pixels, as stored.
        height: In pixels, as stored.
        channels: 1 for grey and palettes, 2 for grey and alpha, 3, 4, ...
        dtype: Of the samples: ``'bool'``, ``'uint8'``, ``'uint16'``, ``'float32'``, ...
        bits: Of a sample.
        mode: Pillow's mode; None where only OpenCV can decode the file.
        orientation: Of the EXIF data or TIFF tag 274, 1 (as stored) to 8.
        pages: Pages of a TIFF without its thumbnails, or frames of an animation.
        lossy: Whether the compression changes values.
        inverted: Whether 0 is white (some TIFFs, PBM).
        has_alpha: Whether the last channel is alpha.
    """

    kind: str
    name: str
    format: str
    width: int
    height: int
    channels: int
    dtype: str = 'uint8'
    bits: int = 8
    mode: str | None = None
    orientation: int = 1
    pages: int = 1
    lossy: bool = False
    inverted: bool = False
    has_alpha: bool = False

    def __str__(self) -> str:
        """Kind and name, as messages start."""
        return f'{self.kind} {self.name}'


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
    content, name = _read(source, name, 'image')
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
    content, name = _read(source, name, 'mask')
    header = read_header(content, name=name, kind='mask')
    check_mask_header(header, hint)
    return whole_numbers(_decode_mask(header, content), name, hint)


def read_header(
    source: bytes | str | os.PathLike, *, name: str | None = None, kind: str = 'image'
) -> Header:
    """Read what a file says of its pixels, without decoding them; some 50 microseconds.

    Args:
        source: The path of a file or, from another storage, its bytes.
        name: What messages call it; needed with bytes. Default: the path.
        kind: ``'image'`` or ``'mask'``, for messages.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no image.
    """
    with _open(source, name, kind) as (file, name):
        try:
            return _header(kind, name, file)
        except MemoryError:
            raise
        # Decoders raise what they like: from SyntaxError to struct.error.
        except Exception as error:
            file.seek(0)
            raise _damaged(kind, name, file.read(), error, 'its header cannot be read') from None


def check_image_arguments(orientation: str | None, max_value: float | None) -> None:
    """Refuse arguments that :func:`read_image` does not know, with a ValueError."""
    if orientation not in ORIENTATIONS:
        raise ValueError(f'orientation is {orientation!r}, expected one of {ORIENTATIONS}')
    if max_value is not None and not 0 < max_value < float('inf'):
        raise ValueError(f'max_value is {max_value}, expected a number above 0, such as 4095')


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


def is_truncated(content: bytes) -> bool:
    """Whether the end of a JPEG or PNG file is missing, told without decoding it.

    A PNG ends with its IEND chunk, a JPEG's first scan is followed by an end marker. The headers
    of a JPEG are stepped over one by one, because an embedded thumbnail has an end marker of its
    own; bytes after the end, which some cameras write, are no fault.

    Args:
        content: The bytes of the file.

    Returns:
        True for a cut JPEG or PNG; False for a whole one and for every other format.
    """
    if content.startswith(b'\x89PNG'):
        return b'IEND' not in content
    if not content.startswith(b'\xff\xd8'):
        return False
    for marker, position in _jpeg_segments(content):
        if marker == 0xDA:
            return content.find(b'\xff\xd9', position) < 0
    return True


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


def missing_file(kind: str, name: str) -> str:
    """What is said of a file that is not there."""
    if os.path.islink(name):
        return (
            f'{kind} {name} is a link to {os.readlink(name)}, which does not exist; restore that '
            f'file, or take it off the list and start again'
        )
    return f'{kind} {name} does not exist; restore it, or take it off the list and start again'


def unreadable_file(kind: str, name: str, error: OSError) -> str:
    """What is said of a file that is there and cannot be read."""
    return (
        f'{kind} {name} cannot be read ({error.strerror or error}); make it a file that you may '
        f'read, or take it off the list'
    )


def _read(source: bytes | str | os.PathLike, name: str | None, kind: str) -> tuple[bytes, str]:
    with _open(source, name, kind) as (file, name):
        try:
            return file.read(), name
        except OSError as error:
            raise ValueError(unreadable_file(kind, name, error)) from None


@contextmanager
def _open(
    source: bytes | str | os.PathLike, name: str | None, kind: str
) -> Iterator[tuple[BinaryIO, str]]:
    if isinstance(source, bytes | bytearray | memoryview):
        yield io.BytesIO(source), str(name)
        return
    name = str(source) if name is None else name
    try:
        file = open(source, 'rb')
    except FileNotFoundError:
        raise FileNotFoundError(missing_file(kind, name)) from None
    except OSError as error:
        raise ValueError(unreadable_file(kind, name, error)) from None
    with file:
        yield file, name


def _header(kind: str, name: str, file: BinaryIO) -> Header:
    start = file.read(64)
    file.seek(0)
    tiff = _tiff_pages(file, start[:8]) if start[:4] in TIFF_SIGNATURES else []
    file.seek(0)
    formats = (*FORMATS, 'TGA') if name.lower().endswith('.tga') else FORMATS
    try:
        picture = PIL.Image.open(file, formats=formats)
    except PIL.UnidentifiedImageError:
        if tiff:
            return _tiff_header(kind, name, tiff, None)
        if not start.startswith(RADIANCE_SIGNATURES):
            raise
        file.seek(0)
        pixels = _by_cv2(file.read())
        height, width, channels = pixels.shape
        return Header(kind, name, 'HDR', width, height, channels, 'float32', 32)
    if tiff:
        return _tiff_header(kind, name, tiff, picture.mode)
    width, height = picture.size
    mode, format = picture.mode, picture.format
    found: dict[str, Any] = dict(
        mode=mode,
        channels=len(picture.getbands()),
        has_alpha=mode in ('LA', 'RGBA'),
        lossy=format in ('JPEG', 'MPO', 'AVIF'),
    )
    if mode == '1':
        found |= dict(dtype='bool', bits=1)
    if format == 'PNG':
        found |= _png_header(start)
    elif format == 'PPM':
        found |= _pnm_header(picture)
    elif format == 'JPEG2000':
        file.seek(0)
        found |= _jpeg2000_header(file.read(4096))
    # The further images of an MPO are previews or depths: it is a JPEG to every other reader.
    pages = 1 if format in ('JPEG', 'MPO') else getattr(picture, 'n_frames', 1)
    orientation = _orientation(picture, file)
    return Header(kind, name, format, width, height, orientation=orientation, pages=pages, **found)


def _png_header(start: bytes) -> dict[str, Any]:
    bits, color_type = start[24], start[25]
    found = {'bits': bits, 'channels': {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color_type]}
    return found | ({'dtype': 'uint16'} if bits == 16 else {})


def _pnm_header(picture: PIL.Image.Image) -> dict[str, Any]:
    if picture.mode == '1':
        return {'inverted': True}
    if picture.mode == 'F':
        return {'dtype': 'float32', 'bits': 32}
    args = picture.tile[0][3]
    maximum = args[1] if isinstance(args, tuple) else 255
    deep = picture.mode == 'I' or (isinstance(maximum, int) and maximum > 255)
    return {'dtype': 'uint16', 'bits': 16} if deep else {}


def _jpeg2000_header(start: bytes) -> dict[str, Any]:
    """Of the codestream's main header: bits in SIZ, the wavelet (9-7 is not reversible) in COD."""
    size = start.find(b'\xff\x4f\xff\x51')
    if size < 0:
        return {}
    found: dict[str, Any] = {}
    bits = (start[size + 42] & 0x7F) + 1
    if bits > 8:
        found = {'dtype': 'uint16', 'bits': bits}
    coding = start.find(b'\xff\x52', size + 40)
    return found | {'lossy': start[coding + 13 : coding + 14] == b'\0'}


def _tiff_pages(file: BinaryIO, start: bytes) -> list[dict]:
    """Tags of each page, thumbnails and overviews (bit 0 of tag 254) and their masks left out."""
    file.seek(8)
    big = b'+' in start[2:4]
    start += file.read(8) if big else b''
    directory = ImageFileDirectory_v2(start)
    pages, seen, offset = [], set(), directory.next
    while offset and offset not in seen:
        seen.add(offset)
        file.seek(offset)
        directory = ImageFileDirectory_v2(start)
        directory.load(file)
        tags = dict(directory)
        if not pages or not tags.get(254, 0) & 5:
            pages.append(tags)
        offset = directory.next
    return pages


def _tiff_header(kind: str, name: str, pages: list[dict], mode: str | None) -> Header:
    tags = pages[0]
    bits = max(tags.get(258, (1,)))
    sample = max(tags.get(339, (1,)))
    photometric = tags.get(262, 1)
    whole = {2: 'int', 3: 'float', 5: 'complex', 6: 'complex'}.get(sample, 'uint')
    if whole == 'uint':
        dtype = 'bool' if bits == 1 and photometric != 3 else f'uint{max(8, _next_power(bits))}'
    else:
        dtype = f'{whole}{bits}'
    return Header(
        kind, name, 'TIFF', tags[256], tags[257], tags.get(277, 1), dtype, bits, mode,
        orientation=_valid_orientation(tags.get(274)),
        pages=len(pages),
        lossy=tags.get(259, 1) in (6, 7),
        inverted=photometric == 0,
        # 1 and 2 are associated and other alpha; 0 is anything, such as infrared.
        has_alpha=any(extra in (1, 2) for extra in tags.get(338, ())),
    )  # fmt: skip


def _next_power(bits: int) -> int:
    return 1 << (bits - 1).bit_length()


def _orientation(picture: PIL.Image.Image, file: BinaryIO) -> int:
    exif = None
    if picture.format == 'PNG':
        file.seek(len(PNG_SIGNATURE))
        # After the pixels, too, where Pillow finds it only by decoding them.
        for kind, offset, length in _png_chunks(file):
            if kind == b'eXIf':
                file.seek(offset)
                exif = file.read(length)
                break
    try:
        if exif is None:
            return _valid_orientation(PIL.Image.Image.getexif(picture).get(274))
        data = PIL.Image.Exif()
        data.load(exif)
        return _valid_orientation(data.get(274))
    except MemoryError:
        raise
    # What cannot be read turns no image in any reader.
    except Exception:
        return 1


def _valid_orientation(value: Any) -> int:
    return int(value) if value in range(1, 9) else 1


def _png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Kind, offset and length of the data of each chunk, up to IEND or the end of the file."""
    offset = len(PNG_SIGNATURE)
    while True:
        file.seek(offset)
        head = file.read(8)
        if len(head) < 8:
            return
        length, kind = int.from_bytes(head[:4], 'big'), head[4:]
        yield kind, offset + 8, length
        if kind == b'IEND':
            return
        offset += length + 12


def _check_png(header: Header, content: bytes) -> None:
    """Refuse a PNG of which a byte is not as it was written; its pixels end with IEND."""
    kind = None
    for kind, offset, length in _png_chunks(io.BytesIO(content)):
        end = offset + length
        if end + 4 > len(content):
            break
        if zlib.crc32(content[offset - 4 : end]) != int.from_bytes(content[end : end + 4], 'big'):
            reason = f'the checksum of chunk {kind.decode("latin-1")!r} at byte {offset} is wrong'
            raise _damaged(header.kind, header.name, content, ValueError(reason))
    else:
        if kind == b'IEND':
            return
    raise ValueError(_sentence(header.kind, header.name, content, 'its end is missing', cut=True))


def _jpeg_segments(content: bytes) -> Iterator[tuple[int, int]]:
    """Marker and position of each segment up to the first scan, SOS."""
    position = 2
    while content[position : position + 1] == b'\xff' and position + 4 <= len(content):
        marker = content[position + 1]
        # Padding before a marker may be any number of 0xFF bytes.
        if marker == 0xFF:
            position += 1
            continue
        yield marker, position
        if marker == 0xDA:
            return
        position += 2 + int.from_bytes(content[position + 2 : position + 4], 'big')


def _jpeg_frame(content: bytes) -> tuple[int, int, int] | None:
    """Process (n of SOFn), bits and channels of a JPEG."""
    for marker, position in _jpeg_segments(content):
        if marker in range(0xC0, 0xD0) and marker not in (0xC4, 0xC8, 0xCC):
            frame = content[position + 4 : position + 10]
            return (marker - 0xC0, frame[0], frame[5]) if len(frame) == 6 else None
    return None


def _harmless_put_right(content: bytes) -> bytes:
    """A JPEG without what libjpeg warns of though it changes no pixel, left by some phones."""
    mended = bytearray(content)
    for marker, position in _jpeg_segments(content):
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
    if header.format == 'PNG':
        _check_png(header, content)
    try:
        if header.dtype in EIGHT_BITS and header.mode is not None:
            with PIL.Image.open(io.BytesIO(content)) as picture:
                pixels = np.asarray(picture.convert('RGB'))[..., ::-1]
        else:
            pixels = _by_cv2(content, header.dtype)
            pixels = pixels[..., :3] if pixels.shape[2] > 1 else pixels.repeat(3, axis=2)
    except MemoryError:
        raise
    except Exception as error:
        raise _damaged(header.kind, header.name, content, error) from None
    return _as_stored(header, pixels)


def _decode_jpeg(header: Header, content: bytes, strict: bool) -> np.ndarray:
    colors = 'CMYK' if header.mode == 'CMYK' else 'BGR'
    frame = _jpeg_frame(content)
    try:
        try:
            pixels = simplejpeg.decode_jpeg(content, colors, strict=True)
        except ValueError as error:
            if not str(error).startswith(('Invalid SOS parameters', 'Warning: unknown JFIF')):
                raise
            content = _harmless_put_right(content)
            pixels = simplejpeg.decode_jpeg(content, colors, strict=True)
    except ValueError as error:
        # Baseline, extended and progressive are what libjpeg-turbo surely decodes.
        if frame is not None and frame[0] > 2:
            pixels = cv2.imdecode(np.frombuffer(content, np.uint8), COLOR)
            if pixels is not None:
                return pixels
        if not strict:
            try:
                pixels = simplejpeg.decode_jpeg(content, colors, strict=False)
            except ValueError as error:
                raise _damaged(header.kind, header.name, content, error) from None
            _warn(f'{header} is taken as it can be decoded, although damaged: {error}')
        else:
            damaged = _damaged(header.kind, header.name, content, error)
            raise ValueError(f'{damaged}, or take it as it is (strict=False)') from None
    # libjpeg leaves CMYK to its callers.
    return cv2.imdecode(np.frombuffer(content, np.uint8), COLOR) if colors == 'CMYK' else pixels


COLOR = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION


def _decode_mask(header: Header, content: bytes) -> np.ndarray:
    """Values as stored, [H, W]."""
    if header.format == 'PNG':
        _check_png(header, content)
    try:
        # Pillow scales a PGM by its maximum.
        if header.mode is None or header.bits > 8 or header.format == 'PPM':
            labels = _by_cv2(content, header.dtype)[..., 0]
        else:
            with PIL.Image.open(io.BytesIO(content)) as picture:
                labels = np.asarray(picture)
            labels = labels.astype(np.uint8 if header.dtype == 'bool' else header.dtype)
            if header.mode == 'L' and header.bits in (2, 4):
                # Pillow spreads grey values of 2 and 4 bits over 0 to 255.
                labels = labels // (255 // (2**header.bits - 1))
    except MemoryError:
        raise
    except Exception as error:
        raise _damaged(header.kind, header.name, content, error) from None
    return _as_stored(header, labels)


def _by_cv2(content: bytes, dtype: str = 'float32') -> np.ndarray:
    """Samples of any type, [H, W, C], BGR."""
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError('OpenCV cannot decode it')
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


def _damaged(kind: str, name: str, content: bytes, error: Exception, where: str = '') -> ValueError:
    """The sentence on a file that is no image, or not a whole one; what the decoder said."""
    if isinstance(error, PIL.Image.DecompressionBombError):
        return ValueError(
            f'{kind} {name} is too large, or made to fill the memory: {error}; cut it into tiles'
        )
    for signature, (what, fix) in OTHER_FILES.items():
        if content.startswith(signature):
            return ValueError(f'{kind} {name} is {what} ({len(content)} bytes); {fix}')
    reason = f'{error}'.strip().rstrip('.') or type(error).__name__
    reason = f'{where} ({type(error).__name__}: {reason})' if where else reason
    if isinstance(error, PIL.UnidentifiedImageError):
        reason = _what_it_is(content)
    return ValueError(_sentence(kind, name, content, reason, is_truncated(content)))


def _what_it_is(content: bytes) -> str:
    """What is said of a file that no decoder takes."""
    start = content[:256].lstrip()
    if not content:
        return 'it is empty'
    if not content.strip(b'\0'):
        return 'it holds nothing but zeros, as after a power failure or a full disk'
    if content[4:8] == b'ftyp':
        return 'it is a HEIC or AVIF picture or a video, which is not read; convert it to JPEG'
    if start[:1] == b'<':
        return f'it is a page of HTML or XML, as servers send for an error: {_excerpt(start)}'
    for signature, format in IMAGE_SIGNATURES.items():
        if content.startswith(signature):
            frame = _jpeg_frame(content) if format == 'JPEG' else None
            if frame is None:
                return f'its {format} header cannot be read'
            return (
                f'it is a JPEG of process SOF{frame[0]}, {frame[1]} bits and {frame[2]} channels, '
                f'expected one that libjpeg decodes to 8 bits'
            )
    return f'its first bytes are those of no known image format: {_excerpt(content)}'


def _excerpt(content: bytes) -> str:
    return repr(content[:40])[1:]


def _sentence(kind: str, name: str, content: bytes, reason: str, cut: bool) -> str:
    state = 'is truncated' if cut else 'cannot be decoded'
    return (
        f'{kind} {name} {state} ({len(content)} bytes): {reason}; copy or download it again, or '
        f'take it off the list'
    )


@cache
def _warn(text: str) -> None:
    """Warn once per file and process."""
    print_log(text, 'current', logging.WARNING)
