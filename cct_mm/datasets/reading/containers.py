"""The bytes around the pixels: signatures, chunks, segments, tags, and the damage they show."""

import io
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from PIL.TiffImagePlugin import ImageFileDirectory_v2

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

# The first row and column of each pass of an interlaced PNG, and the steps to the next ones.
_ADAM7 = (
    (0, 0, 8, 8),
    (0, 4, 8, 8),
    (4, 0, 8, 4),
    (0, 2, 4, 4),
    (2, 0, 4, 2),
    (0, 1, 2, 2),
    (1, 0, 2, 1),
)


def png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, offset and length of each chunk's data, up to IEND or the end of the file."""
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
    """Yield marker and position of each segment up to the first scan, SOS."""
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
    """Return the process (n of SOFn), the bits and the channels of a JPEG."""
    for marker, position in jpeg_segments(content):
        if marker in range(0xC0, 0xD0) and marker not in (0xC4, 0xC8, 0xCC):
            frame = content[position + 4 : position + 10]
            return (marker - 0xC0, frame[0], frame[5]) if len(frame) == 6 else None
    return None


def tiff_pages(file: BinaryIO) -> list[dict]:
    """Return the tags of each page of a TIFF.

    Thumbnails and masks after the first page (bits 0 and 2 of tag 254) are not pages.
    """
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


def is_truncated(content: bytes) -> bool:
    """Tell, without decoding it, whether the end of a JPEG or PNG file is missing.

    The segments of a JPEG are stepped over one by one, because an embedded thumbnail has an end
    marker of its own. Bytes after the end, which some cameras write, are not a fault. Other formats
    are never called truncated.
    """
    if content.startswith(b'\x89PNG'):
        return b'IEND' not in content
    if not content.startswith(b'\xff\xd8'):
        return False
    for marker, position in jpeg_segments(content):
        if marker == 0xDA:
            return content.find(b'\xff\xd9', position) < 0
    return True


def check_container(file_format: str, content: bytes) -> None:
    """Refuse the damage that decoders ignore, with a ValueError or zlib.error."""
    if file_format == 'PNG':
        _check_png_checksums(content)
    elif file_format == 'TIFF':
        _check_tiff_strips(content)
    elif file_format == 'JPEG2000' and b'\xff\xd9' not in content:
        raise ValueError('its end is missing')


def _check_png_checksums(content: bytes) -> None:
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


def _check_tiff_strips(content: bytes) -> None:
    """Check each strip or tile of a deflated TIFF, whose checksums libtiff does not compare."""
    tags = tiff_pages(io.BytesIO(content))[0]
    if tags.get(259) not in (8, 32946):
        return
    offsets, lengths = (tags[324], tags[325]) if 324 in tags else (tags[273], tags[279])
    for offset, length in zip(offsets, lengths, strict=True):
        # A tile without a value may have no bytes.
        if length:
            zlib.decompress(content[offset : offset + length])


def check_png_rows(content: bytes, width: int, height: int, bits: int) -> None:
    """Refuse a PNG that holds fewer rows than it says, which Pillow would fill with black.

    Args:
        content: The bytes of the file.
        width: In pixels.
        height: In pixels.
        bits: Bits of a pixel, over all its channels.

    Raises:
        ValueError: If bytes are missing.
    """
    expected = 0
    for row, column, rows, columns in _ADAM7 if png_is_interlaced(content) else [(0, 0, 1, 1)]:
        pass_height, pass_width = len(range(row, height, rows)), len(range(column, width, columns))
        # The byte before each row names its filter.
        expected += pass_height * (1 + -(-pass_width * bits // 8)) if pass_width else 0
    data = b''.join(
        content[offset : offset + length]
        for kind, offset, length in png_chunks(io.BytesIO(content))
        if kind == b'IDAT'
    )
    found = len(zlib.decompressobj().decompress(data, expected))
    if found < expected:
        raise ValueError(f'it holds {found} of the {expected} bytes of its pixels')


def png_is_interlaced(content: bytes) -> bool:
    """Tell whether the pixels of a PNG come in seven passes."""
    return content[28] == 1


def mend_jpeg(content: bytes) -> bytes:
    """Return a JPEG with a known revision of JFIF and the parameters of a baseline scan.

    Some phones write others, of which libjpeg warns although they change no pixel.
    """
    mended = bytearray(content)
    for marker, position in jpeg_segments(content):
        if marker == 0xE0 and content[position + 4 : position + 9] == b'JFIF\0':
            mended[position + 9] = 1
        if marker == 0xDA:
            end = position + 2 + int.from_bytes(content[position + 2 : position + 4], 'big')
            mended[end - 3 : end] = b'\0\x3f\0'
    return bytes(mended)
