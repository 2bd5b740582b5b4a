"""What an image file says of itself before it is decoded, and what is wrong with one that is none.

Suffixes do not count: a file is what its first bytes say.
"""

import io
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import cv2
import numpy as np
import PIL.Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

PIL.Image.init()
# What OpenCV reads and a little more: no EPS, whose reader is a program, and no videos.
FORMATS = [
    name
    for name in ('AVIF BMP GIF JPEG JPEG2000 PCX PNG PPM SGI SUN TIFF WEBP').split()
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


def read_header(
    source: bytes | str | os.PathLike, *, name: str | None = None, kind: str = 'image'
) -> Header:
    """Read what a file says of its pixels, without decoding them; some 150 microseconds.

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
            try:
                file.seek(0)
                content = file.read()
            except OSError as error:
                raise ValueError(unreadable_file(kind, name, error)) from None
            raise damaged(kind, name, content, error) from None


def read_bytes(source: bytes | str | os.PathLike, name: str | None, kind: str) -> tuple[bytes, str]:
    """Return a file's bytes and what messages call it; arguments and errors of read_header."""
    with _open(source, name, kind) as (file, name):
        try:
            return file.read(), name
        except OSError as error:
            raise ValueError(unreadable_file(kind, name, error)) from None


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
    for marker, position in jpeg_segments(content):
        if marker == 0xDA:
            return content.find(b'\xff\xd9', position) < 0
    return True


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


def damaged(kind: str, name: str, content: bytes, said: Exception | str) -> ValueError:
    """The error for a file that is no image, or not a whole one.

    Args:
        kind: ``'image'`` or ``'mask'``.
        name: The file.
        content: Its bytes.
        said: What a decoder or a check said of it.
    """
    if isinstance(said, PIL.Image.DecompressionBombError):
        return ValueError(
            f'{kind} {name} is too large, or made to fill the memory: {said}; cut it into tiles'
        )
    for signature, (what, fix) in OTHER_FILES.items():
        if content.startswith(signature):
            return ValueError(f'{kind} {name} is {what} ({len(content)} bytes); {fix}')
    reason = f'{said}'.strip().rstrip('.') or type(said).__name__
    if isinstance(said, PIL.UnidentifiedImageError):
        reason = _what_it_is(content)
    elif isinstance(said, LookupError | TypeError | AttributeError | struct.error):
        # What a decoder stumbled over says little without its kind.
        reason = f'{type(said).__name__}: {reason}'
    state = 'is truncated' if is_truncated(content) else 'cannot be decoded'
    return ValueError(
        f'{kind} {name} {state} ({len(content)} bytes): {reason}; copy or download it again, or '
        f'take it off the list'
    )


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
            frame = jpeg_frame(content) if format == 'JPEG' else None
            if frame is None:
                return f'its {format} header cannot be read'
            return (
                f'it is a JPEG of process SOF{frame[0]}, {frame[1]} bits and {frame[2]} channels, '
                f'expected one that libjpeg decodes to 8 bits'
            )
    return f'its first bytes are those of no known image format: {_excerpt(content)}'


def _excerpt(content: bytes) -> str:
    return repr(content[:40])[1:]


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
        file.seek(0)
        pixels = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_UNCHANGED)
        if pixels is None:
            raise ValueError('OpenCV cannot decode it') from None
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
    # What cannot be read turns no image in any reader.
    except Exception:
        return 1


def _valid_orientation(value: Any) -> int:
    return int(value) if value in range(1, 9) else 1


def tiff_pages(file: BinaryIO) -> list[dict]:
    """Tags of each page of a TIFF; its thumbnails and masks (bits 0 and 2 of tag 254) are none."""
    file.seek(0)
    start = file.read(8)
    # The header of a BigTIFF is twice as long.
    start += file.read(8) if b'+' in start[2:4] else b''
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


def png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
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


def jpeg_segments(content: bytes) -> Iterator[tuple[int, int]]:
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


def jpeg_frame(content: bytes) -> tuple[int, int, int] | None:
    """Process (n of SOFn), bits and channels of a JPEG."""
    for marker, position in jpeg_segments(content):
        if marker in range(0xC0, 0xD0) and marker not in (0xC4, 0xC8, 0xCC):
            frame = content[position + 4 : position + 10]
            return (marker - 0xC0, frame[0], frame[5]) if len(frame) == 6 else None
    return None
