"""What a file says of its pixels before they are decoded, and which files are refused for it.

The suffix of a file does not count: its first bytes tell its format.
"""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import cv2
import numpy as np
import PIL.Image

from .containers import RADIANCE_SIGNATURES, TIFF_SIGNATURES, png_chunks, tiff_pages
from .problems import damaged, missing_file, unreadable_file

PIL.Image.init()
# What OpenCV reads and a little more: no EPS, whose reader is a program, and no videos.
FORMATS = [
    name
    for name in 'AVIF BMP GIF JPEG JPEG2000 PCX PNG PPM SGI SUN TIFF WEBP'.split()
    if name in PIL.Image.OPEN
]
"""Pillow's names of the formats that are read, besides TGA, which only its suffix tells."""

EIGHT_BITS = ('bool', 'uint8')
"""Types of samples that need no scaling; 1 bit is black and white."""


@dataclass(frozen=True)
class Header:
    """What a file says of its pixels before they are decoded."""

    kind: str  # 'image' or 'mask', for messages
    name: str  # the file, for messages
    format: str  # Pillow's name of its format, whatever the suffix says: 'JPEG', 'PNG', ...
    width: int  # in pixels, as stored
    height: int
    channels: int  # 1 for gray and palettes, 2 for gray and alpha, 3, 4, ...
    dtype: str = 'uint8'  # the type of a sample: 'bool', 'uint8', 'uint16', 'float32', ...
    bits: int = 8  # of a sample
    mode: str | None = None  # Pillow's mode; None if only OpenCV can decode the file
    orientation: int = 1  # of the EXIF data or TIFF tag 274: 1 (as stored) to 8
    pages: int = 1  # pages of a TIFF without its thumbnails, or frames of an animation
    lossy: bool = False  # whether the compression changes values
    inverted: bool = False  # whether 0 is white (some TIFFs, PBM)
    has_alpha: bool = False  # whether the last channel is alpha

    def __str__(self) -> str:
        """Return kind and name, with which messages start."""
        return f'{self.kind} {self.name}'


def read_header(
    source: bytes | str | os.PathLike, *, name: str | None = None, kind: str = 'image'
) -> Header:
    """Read what a file says of its pixels without decoding them, in about 150 microseconds.

    Args:
        source: The path of a file or, from another storage, its bytes.
        name: What messages call it; needed with bytes. Default: the path.
        kind: ``'image'`` or ``'mask'``, for messages.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is not an image.
    """
    with _open(source, name, kind) as (file, name):
        try:
            return _header(kind, name, file)
        except MemoryError:
            raise
        # Decoders raise all kinds of errors, from SyntaxError to struct.error.
        except Exception as error:
            try:
                file.seek(0)
                content = file.read()
            except OSError as error:
                raise ValueError(unreadable_file(kind, name, error)) from None
            raise damaged(kind, name, content, error) from None


def read_bytes(source: bytes | str | os.PathLike, name: str | None, kind: str) -> tuple[bytes, str]:
    """Return a file's bytes and name; arguments and errors are those of :func:`read_header`."""
    with _open(source, name, kind) as (file, name):
        try:
            return file.read(), name
        except OSError as error:
            raise ValueError(unreadable_file(kind, name, error)) from None


def check_image_header(
    header: Header,
    orientation: str | None = None,
    max_value: float | None = None,
    channels: int = 3,
) -> None:
    """Refuse an image by its header, as :func:`read_image` does, whose arguments these are.

    Raises:
        ValueError: If the image cannot be used.
    """
    check_image_layout(header, orientation, channels)
    if header.dtype not in EIGHT_BITS and max_value is None:
        raise ValueError(depth_problem(header))


def check_image_layout(header: Header, orientation: str | None, channels: int = 3) -> None:
    """Refuse pages, channels and orientations that :func:`read_image` refuses."""
    if header.pages > 1:
        raise ValueError(
            f'{header} has {header.pages} pages or frames, expected one; write each of them to a '
            f'file of its own'
        )
    check_channels(header, channels)
    if header.orientation != 1 and orientation is None:
        raise ValueError(
            f'{header} has EXIF orientation {header.orientation}: viewers turn it, and nothing '
            f'tells whether its mask is turned, too; say which one holds for all images of the '
            f"source: LoadCheckedImage(orientation='stored') for pixels in the order of the file, "
            f"or LoadCheckedImage(orientation='exif') for turned ones"
        )


def check_channels(header: Header, channels: int) -> None:
    """Refuse an image that does not have the channels that the network is to see."""
    found, with_alpha = header.channels, header.channels == 2 and header.has_alpha
    fix = 'convert it, or leave `channels` out to load all images of the source as colors'
    if channels == 3:
        fits = found in (1, 3, 4) or with_alpha
        expected = '1 (gray), 3 (colors) or 4 (colors and alpha)'
        fix = 'write the three that the network is to see to a file of their own'
    elif channels == 1:
        fits = (found == 1 and header.mode != 'P') or with_alpha
        expected = '1 (gray), as LoadCheckedImage(channels=1) says'
    else:
        fits = found == channels and header.mode != 'CMYK'
        expected = f'{channels}, as LoadCheckedImage(channels={channels}) says'
    if not fits:
        kind = {'P': ' (indices of colors)', 'CMYK': ' (of ink)'}.get(header.mode, '')
        raise ValueError(f'{header} has {found} channels{kind}, expected {expected}; {fix}')


def depth_problem(header: Header, found: str = '') -> str:
    """Say that an image has more than 8 bits; ``found`` may add its values."""
    return (
        f'{header} has pixels of type {header.dtype}{found}, expected 8 bits; say which value '
        f'becomes 255, as in LoadCheckedImage(max_value=4095), or convert it to 8 bits'
    )


def check_mask_header(header: Header, hint: str = '') -> None:
    """Refuse a mask by its header, as :func:`read_mask` does, whose ``hint`` this is.

    Raises:
        ValueError: If the file holds no labels.
    """
    found = None
    if header.pages > 1:
        found = (
            f'has {header.pages} pages, expected one; write the labels to a file with a single page'
        )
    elif header.lossy:
        found = (
            f'is compressed as {header.format} with losses, which invents labels at the borders, '
            f'expected a format without; convert the original labels to PNG, not this file'
        )
    elif header.channels != 1:
        alpha = ' (gray and alpha)' if header.channels == 2 else ''
        found = (
            f'has {header.channels} channels{alpha}, expected one with the class index of each '
            f'pixel'
        )
    elif header.inverted:
        found = (
            f'is a {header.format} in which 0 is white, so that readers disagree on its labels; '
            f'convert it to PNG and look at the values'
        )
    elif header.dtype.startswith('complex'):
        found = f'has values of type {header.dtype}, expected integers; write its labels as PNG'
    if found:
        raise ValueError(f'{header} {found}{f"; {hint}" if hint else ""}')


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
    tiff = tiff_pages(file) if start[:4] in TIFF_SIGNATURES else []
    file.seek(0)
    formats = (*FORMATS, 'TGA') if name.lower().endswith('.tga') else FORMATS
    try:
        picture = PIL.Image.open(file, formats=formats)
    except PIL.UnidentifiedImageError:
        if tiff:
            return _tiff_header(kind, name, tiff, None)
        if not start.startswith(RADIANCE_SIGNATURES):
            raise
        return _radiance_header(kind, name, file)
    if tiff:
        return _tiff_header(kind, name, tiff, picture.mode)
    width, height = picture.size
    mode, found_format = picture.mode, picture.format
    found: dict[str, Any] = dict(
        mode=mode,
        channels=len(picture.getbands()),
        has_alpha=mode in ('LA', 'RGBA'),
        lossy=found_format in ('JPEG', 'MPO', 'AVIF'),
    )
    if mode == '1':
        found |= dict(dtype='bool', bits=1)
    if found_format == 'PNG':
        found |= _png_header(start)
    elif found_format == 'PPM':
        found |= _pnm_header(picture)
    elif found_format == 'JPEG2000':
        file.seek(0)
        found |= _jpeg2000_header(file.read(4096))
    # The further images of an MPO are previews or depths: every other reader takes it for a JPEG.
    pages = 1 if found_format in ('JPEG', 'MPO') else getattr(picture, 'n_frames', 1)
    found |= dict(orientation=_orientation(picture, file), pages=pages)
    return Header(kind, name, found_format, width, height, **found)


def _radiance_header(kind: str, name: str, file: BinaryIO) -> Header:
    file.seek(0)
    pixels = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError('OpenCV cannot decode it')
    height, width, channels = pixels.shape
    return Header(kind, name, 'HDR', width, height, channels, 'float32', 32)


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
    """Read the codestream's main header: SIZ tells the bits, COD the wavelet (9-7 loses values)."""
    size = start.find(b'\xff\x4f\xff\x51')
    if size < 0:
        return {}
    found: dict[str, Any] = {}
    bits = (start[size + 42] & 0x7F) + 1
    if bits > 8:
        found = {'dtype': 'uint16', 'bits': bits}
    coding = start.find(b'\xff\x52', size + 40)
    return found | {'lossy': start[coding + 13 : coding + 14] == b'\0'}


def _tiff_header(kind: str, name: str, pages: list[dict], mode: str | None) -> Header:
    tags = pages[0]
    if tags.get(254, 0) & 1:
        raise ValueError(
            'its first page is a thumbnail, as in raw files of cameras; develop it to a TIFF or PNG'
        )
    bits = max(tags.get(258, (1,)))
    if tags.get(284) == 2 and tags.get(277, 1) > 1 and bits > 8:
        raise ValueError(
            'its channels are stored one after the other (planar configuration 2), which OpenCV '
            'mixes up in more than 8 bits; write it with the channels of a pixel together'
        )
    photometric = tags.get(262, 1)
    sample = {2: 'int', 3: 'float', 5: 'complex', 6: 'complex'}.get(max(tags.get(339, (1,))))
    if sample:
        dtype = f'{sample}{bits}'
    elif bits == 1 and photometric != 3:
        dtype = 'bool'
    else:
        # The next power of two holds it.
        dtype = f'uint{max(8, 1 << (bits - 1).bit_length())}'
    return Header(
        kind, name, 'TIFF', tags[256], tags[257], tags.get(277, 1), dtype, bits, mode,
        orientation=_valid_orientation(tags.get(274)),
        pages=len(pages),
        lossy=tags.get(259, 1) in (6, 7),
        inverted=photometric == 0,
        # 1 and 2 are associated and other alpha; 0 is anything, such as infrared.
        has_alpha=any(extra in (1, 2) for extra in tags.get(338, ())),
    )  # fmt: skip


def _orientation(picture: PIL.Image.Image, file: BinaryIO) -> int:
    exif = None
    if picture.format == 'PNG':
        # The chunk may follow the pixels, where Pillow finds it only by decoding them.
        for kind, offset, length in png_chunks(file):
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
    # Data that cannot be read turn an image in no reader.
    except Exception:
        return 1


def _valid_orientation(value: Any) -> int:
    return int(value) if value in range(1, 9) else 1
