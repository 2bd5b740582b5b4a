"""The one way to read an image or a mask, which takes pixels for what they are or refuses them.

Decoders change much silently: they turn an image as its EXIF data say, but not its mask; cut 16
bits to 8; cast NaN to class 0; fill the missing part of a JPEG with gray. Here the header of every
file is checked before its pixels are used, by the same rules wherever a file is read.

``containers`` knows the bytes of each format, ``header`` what a file says of its pixels, ``pixels``
decodes them, and ``problems`` words what is wrong with a file.
"""

from .containers import is_truncated
from .header import Header, check_image_header, check_mask_header, read_header
from .pixels import check_image_arguments, read_image, read_mask, whole_numbers
from .problems import missing_file, sentence, unreadable_file

__all__ = [
    'Header',
    'check_image_arguments',
    'check_image_header',
    'check_mask_header',
    'is_truncated',
    'missing_file',
    'read_header',
    'read_image',
    'read_mask',
    'sentence',
    'unreadable_file',
    'whole_numbers',
]
