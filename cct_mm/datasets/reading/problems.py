"""What is said of a file that is missing, cannot be read, or is not a whole image."""

import os
import struct

import PIL
import PIL.Image

from .containers import IMAGE_SIGNATURES, is_truncated, jpeg_frame

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
"""The first bytes of a file: what it is instead of an image, and the fix."""


def missing_file(kind: str, name: str) -> str:
    """Say that a file does not exist; ``kind`` is ``'image'`` or ``'mask'``."""
    if os.path.islink(name):
        return (
            f'{kind} {name} is a link to {os.readlink(name)}, which does not exist; restore that '
            f'file, or take it off the list and start again'
        )
    return f'{kind} {name} does not exist; restore it, or take it off the list and start again'


def unreadable_file(kind: str, name: str, error: OSError) -> str:
    """Say that a file exists but cannot be read; ``kind`` is ``'image'`` or ``'mask'``."""
    return (
        f'{kind} {name} cannot be read ({error.strerror or error}); make it a file that you may '
        f'read, or take it off the list'
    )


def sentence(error: Exception, name: str) -> str:
    """Say what went wrong with a file, whatever was raised.

    Args:
        error: The error; only this package's are sentences, others need their type.
        name: The file, which the sentence names.
    """
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    if not isinstance(error, OSError | ValueError) and ' ' not in text:
        text = f'{type(error).__name__}: {text}' if text else type(error).__name__
    return text if name in text else f'{name}: {text}'


def damaged(kind: str, name: str, content: bytes, said: Exception | str) -> ValueError:
    """Return the error for a file that is not an image, or not a whole one.

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
        # The text of these errors says little without their type.
        reason = f'{type(said).__name__}: {reason}'
    state = 'is truncated' if is_truncated(content) else 'cannot be decoded'
    return ValueError(
        f'{kind} {name} {state} ({len(content)} bytes): {reason}; copy or download it again, or '
        f'take it off the list'
    )


def _what_it_is(content: bytes) -> str:
    """Describe a file that no decoder accepts."""
    start = content[:256].lstrip()
    if not content:
        return 'it is empty'
    if not content.strip(b'\0'):
        return 'it holds nothing but zeros, as after a power failure or a full disk'
    if content[4:8] == b'ftyp':
        return 'it is a HEIC or AVIF picture or a video, which is not read; convert it to JPEG'
    if start[:1] == b'<':
        return f'it is a page of HTML or XML, as servers send for an error: {_excerpt(start)}'
    for signature, file_format in IMAGE_SIGNATURES.items():
        if content.startswith(signature):
            frame = jpeg_frame(content) if file_format == 'JPEG' else None
            if frame is None:
                return f'its {file_format} header cannot be read'
            return (
                f'it is a JPEG of process SOF{frame[0]}, {frame[1]} bits and {frame[2]} channels, '
                f'expected one that libjpeg decodes to 8 bits'
            )
    return f'its first bytes are those of no known image format: {_excerpt(content)}'


def _excerpt(content: bytes) -> str:
    return repr(content[:40])[1:]
