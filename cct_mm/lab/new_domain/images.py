"""How the images of a domain are to be read, and how large a crop of them is."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import cv2
import numpy as np

from cct_mm.datasets.checks.file_cache import Problem
from cct_mm.datasets.checks.file_facts import MaskValues, read_headers
from cct_mm.datasets.reading import Header, check_image_header

DEPTHS = (8, 10, 12, 14, 16)
"""Bits of cameras, microscopes and satellites, in files of 16 bits."""

STEP = 32
"""Crops are multiples of it, which every encoder divides."""


@dataclass
class Images:
    """The images of a domain."""

    headers: dict[str, Header]  # of each image that can be used
    unusable: dict[str, str]  # why, of the others
    orientation: str | None = None  # see LoadCheckedImage
    max_value: float | None = None

    def size(self, path: str) -> tuple[int, int]:
        """Return width and height of an image as it is loaded."""
        header = self.headers[path]
        turned = self.orientation == 'exif' and header.orientation >= 5
        size = header.width, header.height
        return size[::-1] if turned else size

    def sizes(self) -> Counter:
        """Return how many images have each size."""
        return Counter(map(self.size, self.headers))


def look_at_images(
    paths: Sequence[str],
    mask_of: Mapping[str, MaskValues],
    orientation: str | None = None,
) -> Images:
    """Read the headers of images, and decide on orientation and depth.

    Args:
        paths: The images.
        mask_of: The mask of each image that has one, whose size tells whether it was made for the
            pixels as stored or for the turned image.
        orientation: What the user says of images that EXIF data turn, or None.

    Raises:
        ValueError: If no image can be used, or it is not clear whether masks are turned.
    """
    found = read_headers(list(paths), stderr=True)
    images = Images({}, {p: h for p, h in found.items() if isinstance(h, Problem)}, orientation)
    usable = {p: h for p, h in found.items() if p not in images.unusable}
    images.orientation = orientation or _orientation(usable, mask_of)
    deep = [path for path, header in usable.items() if header.dtype not in ('bool', 'uint8')]
    images.max_value = _max_value(deep) if deep else None
    for path, header in usable.items():
        try:
            check_image_header(header, images.orientation, images.max_value)
            images.headers[path] = header
        except ValueError as error:
            images.unusable[path] = str(error)
    if not images.headers:
        raise ValueError(
            f'{next(iter(images.unusable.values()))} (none of {len(paths)} images can be used)'
        )
    return images


def _orientation(headers: Mapping[str, Header], mask_of: Mapping[str, MaskValues]) -> str | None:
    turned = {path: header for path, header in headers.items() if header.orientation != 1}
    if not turned:
        return None
    votes = Counter()
    for path, header in turned.items():
        if path not in mask_of or header.orientation < 5 or header.width == header.height:
            continue
        size = mask_of[path].width, mask_of[path].height
        votes['stored'] += size == (header.width, header.height)
        votes['exif'] += size == (header.height, header.width)
    if votes['stored'] and votes['exif']:
        raise ValueError(
            f'{len(turned)} images have an EXIF orientation; {votes["stored"]} of their masks fit '
            f'the stored pixels and {votes["exif"]} the turned image, expected one rule for all; '
            'write the images anew without EXIF orientation'
        )
    if votes['stored'] or votes['exif']:
        return max(votes, key=votes.get)
    with_mask = [path for path in turned if path in mask_of]
    if with_mask:
        raise ValueError(
            f'{with_mask[0]} has EXIF orientation {turned[with_mask[0]].orientation}, and the size '
            'of its mask does not tell whether it was made for the pixels as stored or for the '
            'turned image; say so by --orientation stored or --orientation exif'
        )
    # No mask has to fit, and people see the turned image.
    return 'exif'


def _max_value(paths: Iterable[str]) -> float:
    """Return the largest value that images of more than 8 bits may hold: all bits set, or 1.0."""
    # What cannot be decoded is found when all files are checked.
    pixels = (cv2.imread(path, cv2.IMREAD_UNCHANGED) for path in paths)
    most = max((float(np.nanmax(p)) for p in pixels if p is not None), default=255.0)
    if most <= 1:
        return 1.0
    return next((float(2**bits - 1) for bits in DEPTHS if most < 2**bits), most)


def crop_side(images: Images, largest: int) -> int:
    """Return the side of a crop: at most the largest, and what images of middling size have.

    Args:
        images: The images.
        largest: What the network is made for, in pixels.
    """
    short = median(min(images.size(path)) for path in images.headers)
    return max(2 * STEP, min(largest, int(short) // STEP * STEP))
