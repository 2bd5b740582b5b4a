"""Files as people have them: damaged, of another type, or not what their name says."""

import io
import os
import struct
import zipfile
import zlib
from pathlib import Path

import cv2
import numpy as np
import PIL.Image

HTML = (
    b'<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head><body>x.jpg</body></html>\n'
)
LFS_POINTER = (
    b'version https://git-lfs.github.com/spec/v1\n'
    b'oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n'
)


class Payload:
    """What runs a command when it is unpickled."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def encoded(image: np.ndarray | PIL.Image.Image, kind: str, **options) -> bytes:
    """The bytes of an image file, as Pillow writes them."""
    if isinstance(image, np.ndarray):
        image = PIL.Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def encoded_by_cv2(image: np.ndarray, suffix: str) -> bytes:
    """The bytes of an image of a type that Pillow does not write; RGB."""
    image = image[..., ::-1] if image.ndim == 3 else image
    return cv2.imencode(suffix, np.ascontiguousarray(image))[1].tobytes()


def turned(image: np.ndarray, orientation: int, kind: str = 'JPEG', **options) -> bytes:
    """An image whose pixels are stored as they are, with an EXIF tag that asks to turn them."""
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    return encoded(image, kind, exif=exif, **options)


def cut(path: Path, share: float = 0.6) -> None:
    """Keep only the first part of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])


def zero_middle(path: Path, number: int = 60) -> None:
    """Overwrite bytes in the middle of a file."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + number] = bytes(number)
    path.write_bytes(content)


def flip_bit(path: Path) -> None:
    """Change one bit in the middle of the largest part of a checkpoint, a ZIP archive."""
    with zipfile.ZipFile(path) as archive:
        part = max(archive.infolist(), key=lambda info: info.file_size)
    content = bytearray(path.read_bytes())
    header = content[part.header_offset : part.header_offset + 30]
    # Behind the local header come a name and padding, whose lengths it tells.
    start = part.header_offset + 30 + sum(struct.unpack('<HH', header[26:30]))
    content[start + part.file_size // 2] ^= 0x10
    path.write_bytes(content)


def png_chunks(content: bytes) -> list[tuple[bytes, bytes, int]]:
    """Type, data and checksum of each chunk of a PNG."""
    chunks, position = [], 8
    while position < len(content):
        (length,) = struct.unpack('>I', content[position : position + 4])
        kind = content[position + 4 : position + 8]
        data = content[position + 8 : position + 8 + length]
        (checksum,) = struct.unpack('>I', content[position + 8 + length : position + 12 + length])
        chunks.append((kind, data, checksum))
        position += 12 + length
    return chunks


def png(chunks: list[tuple[bytes, bytes, int]]) -> bytes:
    """The inverse of :func:`png_chunks`."""
    return b'\x89PNG\r\n\x1a\n' + b''.join(
        struct.pack('>I', len(data)) + kind + data + struct.pack('>I', checksum)
        for kind, data, checksum in chunks
    )


def with_wrong_checksum(content: bytes) -> bytes:
    """A PNG whose pixels do not match their checksum."""
    chunks = png_chunks(content)
    return png([(k, d, c ^ 1 if k == b'IDAT' else c) for k, d, c in chunks])


def of_huge_size(content: bytes, size: int = 60000) -> bytes:
    """A PNG that says to be very large; its checksums are right."""
    chunks = png_chunks(content)
    header = struct.pack('>II', size, size) + chunks[0][1][8:]
    chunks[0] = (b'IHDR', header, zlib.crc32(b'IHDR' + header))
    return png(chunks)
