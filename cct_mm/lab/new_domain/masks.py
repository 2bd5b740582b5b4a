"""What masks hold, as integers or as colors, and which class each value stands for."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import PIL.Image

from cct_mm.datasets.checks.file_cache import Look, Problem
from cct_mm.datasets.checks.file_facts import MaskValues, count_masks, read_headers
from cct_mm.datasets.reading import read_image
from cct_mm.labels import IGNORE_INDEX
from cct_mm.names import check_class_names

MOST_SHOWN = 32
"""Number of values that a message lists."""

GRAY = 0x010101
"""A gray color as a number is its value times this."""


@dataclass
class Masks:
    """What the masks of a domain hold."""

    values: dict[str, MaskValues]  # of each file that can be read
    unreadable: dict[str, Problem]
    in_colors: bool = False  # whether files have channels, so that they are to be written anew
    colors: bool = False  # whether values are colors, 0xRRGGBB
    palette: dict[int, tuple[int, int, int]] | None = None  # color of each value, where files tell

    def pixels(self) -> Counter:
        """Return the number of pixels of each value."""
        total: Counter = Counter()
        for values in self.values.values():
            total.update(values.pixels)
        return total


def look_at_masks(paths: Sequence[str]) -> Masks:
    """Count the values of masks; a file with colors makes all values colors.

    Raises:
        ValueError: If none can be read, in the words of the first.
    """
    headers = read_headers(list(paths), stderr=True)
    whole = [h for h in headers.values() if not isinstance(h, Problem)]
    in_colors = any(h.channels >= 3 and not h.lossy for h in whole)
    if in_colors:
        found = Look('mask-colors-1', 'counting colors', stderr=True).at_paths(paths, _colors_of)
        found = {p: v if isinstance(v, Problem) else MaskValues.unpack(v) for p, v in found.items()}
    else:
        found = count_masks(list(paths), stderr=True)
    unreadable = {path: v for path, v in found.items() if isinstance(v, Problem)}
    values = {path: v for path, v in found.items() if path not in unreadable}
    if not values:
        raise ValueError(f'{next(iter(unreadable.values()))} (none of {len(paths)} can be read)')
    masks = Masks(values, unreadable, in_colors)
    if not in_colors:
        masks.palette = _palette(next(iter(values)))
    elif all(value % GRAY == 0 for value in masks.pixels()):
        # Three times the same number is a number.
        masks.values = {path: _as_gray(v) for path, v in values.items()}
    else:
        masks.colors = True
        masks.palette = {value: rgb(value) for value in masks.pixels()}
    return masks


def read_colors(path: str) -> np.ndarray:
    """Return the colors of a mask as numbers 0xRRGGBB, [H, W], int64."""
    blue, green, red = np.moveaxis(read_image(path).astype(np.int64), 2, 0)
    return red << 16 | green << 8 | blue


def _colors_of(path: str) -> list:
    return MaskValues.of(read_colors(path)).pack()


def _as_gray(values: MaskValues) -> MaskValues:
    pixels = {value // GRAY: n for value, n in values.pixels.items()}
    return MaskValues(values.width, values.height, pixels)


def rgb(value: int) -> tuple[int, int, int]:
    """Return R, G, B of a color as a number."""
    return value >> 16, value >> 8 & 255, value & 255


def _palette(path: str) -> dict[int, tuple[int, int, int]] | None:
    with PIL.Image.open(path) as picture:
        if picture.mode != 'P':
            return None
        colors = np.array(picture.getpalette('RGB')).reshape(-1, 3).tolist()
    return {value: tuple(color) for value, color in enumerate(colors)}


# Classes ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Classes:
    """The classes of a domain."""

    names: tuple[str, ...]
    class_of: dict[int, int]  # the class of each value that was found, 255 for none
    why: str  # how values were assigned

    @property
    def label_map(self) -> dict[int, int]:
        """The values that are not the classes themselves, as the loading of masks takes them."""
        return {value: label for value, label in self.class_of.items() if value != label}


def parse_classes(words: Sequence[str]) -> tuple[tuple[str, ...], dict[int, int] | None]:
    """Read ``--classes``: names, or names with values.

    Args:
        words: Such as ``leaf``, ``leaf=7``, ``leaf=128,64,0`` or ``leaf=#804000``; a class with
            several values is named several times.

    Returns:
        The classes, and the class of each value; None without values.

    Raises:
        ValueError: If a value is no number or color, or only some classes have values.
    """
    pairs = [word.rpartition('=') if '=' in word else (word, '', '') for word in words]
    names = tuple(dict.fromkeys(name for name, _, _ in pairs))
    given = [text for _, _, text in pairs if text]
    if given and len(given) < len(words):
        without = next(name for name, _, text in pairs if not text)
        raise ValueError(
            f'--classes: {without} has no value and others have, expected one for each, as in '
            f'{without}=0, or for none'
        )
    check_class_names(names if given else [name for name, _, _ in pairs], '--classes')
    if not given:
        return names, None
    class_of = {}
    for name, _, text in pairs:
        value = _value(name, text)
        if class_of.setdefault(value, names.index(name)) != names.index(name):
            raise ValueError(f'--classes: {text} is the value of two classes, expected one')
    return names, class_of


def _value(name: str, text: str) -> int:
    if re.fullmatch(r'\d+', text):
        return int(text)
    if re.fullmatch(r'#[0-9a-fA-F]{6}', text):
        return int(text[1:], 16)
    parts = [int(part) for part in text.split(',')] if re.fullmatch(r'\d+,\d+,\d+', text) else []
    if not parts or max(parts) > 255:
        raise ValueError(
            f'--classes {name}={text}: expected a value such as 7, or a color such as 128,64,0 or '
            '#804000'
        )
    return parts[0] << 16 | parts[1] << 8 | parts[2]


def assign(words: Sequence[str], masks: Masks) -> Classes:
    """Say which class each value of the masks stands for.

    Args:
        words: See :func:`parse_classes`.
        masks: The masks.

    Raises:
        ValueError: If this is not clear; the message says what to write.
    """
    names, class_of = parse_classes(words)
    if len(names) == 1:
        raise ValueError(
            f'--classes {names[0]} is a single class, expected two at least: name what is left, '
            f'too, as in --classes background {names[0]}'
        )
    found = sorted(masks.pixels())
    if class_of is not None and masks.in_colors and not masks.colors:
        class_of = _as_numbers(class_of)
    if class_of is not None:
        if not set(class_of) & set(found):
            raise ValueError(
                f'none of the values of --classes is in the masks, which hold {shown(masks)}; '
                f'write {proposal(masks)}'
            )
        return Classes(names, _complete(class_of, found), 'as --classes says')
    classes = range(len(names))
    labels = [value for value in found if value != IGNORE_INDEX or masks.colors]
    if masks.colors or not found:
        raise ValueError(
            f'masks hold colors: {shown(masks)}; say which stands for which class, '
            f'{proposal(masks, names)}'
        )
    if set(labels) <= set(classes) and (len(labels) > 1 or len(found) == 1):
        if IGNORE_INDEX in found and len(labels) == len(names) - 1:
            raise ValueError(
                f'masks hold {shown(masks)}: 255 may stand for {names[-1]} or for no class; say '
                f'so, {proposal(masks, names)}, or leave {names[-1]} out'
            )
        return Classes(names, _complete({c: c for c in classes}, found), 'classes by their number')
    for values in (found, labels):
        if len(values) == len(names):
            order = {value: label for label, value in enumerate(values)}
            why = f'{len(values)} values for {len(names)} classes, in this order'
            return Classes(names, _complete(order, found), why)
    raise ValueError(
        f'masks hold {len(labels)} values for {len(names)} classes: {shown(masks)}; name as many '
        f'classes as there are values, or say which stands for which, {proposal(masks, names)} '
        '(values that are not named are no class)'
    )


def _as_numbers(class_of: Mapping[int, int]) -> dict[int, int]:
    """Take gray colors for the numbers that masks of three equal channels hold."""
    numbers: dict[int, int] = {}
    for value, label in class_of.items():
        number = value if value < GRAY or value % GRAY else value // GRAY
        if numbers.setdefault(number, label) != label:
            raise ValueError(
                f'--classes: {number} and {value_text(number * GRAY, color=True)} are the same '
                'value of these masks, and of two classes, expected one'
            )
    return numbers


def _complete(class_of: Mapping[int, int], found: Sequence[int]) -> dict[int, int]:
    return {**class_of, **{v: IGNORE_INDEX for v in found if v not in class_of}}


def shown(masks: Masks) -> str:
    """List the most frequent values with their shares of all pixels."""
    pixels = masks.pixels()
    total, common = sum(pixels.values()), pixels.most_common(MOST_SHOWN)
    text = ', '.join(f'{value_text(v, masks.colors)} ({n / total:.1%})' for v, n in sorted(common))
    more = len(pixels) - len(common)
    return f'{text} and {more} more' if more else text


def value_text(value: int, color: bool) -> str:
    """Write a value as ``--classes`` takes it."""
    return ','.join(map(str, rgb(value))) if color else str(value)


def proposal(masks: Masks, names: Sequence[str] = ()) -> str:
    """Return ``--classes`` with a name for each frequent value."""
    common = sorted(value for value, _ in masks.pixels().most_common(max(MOST_SHOWN, len(names))))
    labels = [v for v in common if v != IGNORE_INDEX or masks.colors or len(common) == 2]
    known = [*names, *(f'name{i}' for i in range(len(names), len(labels)))]
    words = [f'{n}={value_text(v, masks.colors)}' for n, v in zip(known, labels, strict=False)]
    return f'--classes {" ".join(words)}'
