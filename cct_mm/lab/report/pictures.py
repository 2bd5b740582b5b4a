"""Pictures of predictions and of their errors, as data URIs of bounded size."""

import base64
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from cct_mm.labels import IGNORE_INDEX
from cct_mm.visualization import indexed_png

from .evaluation import Evaluation, Picture

BUDGET = 3_000_000
"""Characters that all pictures of a page may have together."""

RIGHT, WRONG, CORRECTED, STILL_WRONG, IGNORED = range(5)
ERROR_COLORS = ((238, 238, 238), (204, 51, 17), (0, 119, 187), (238, 170, 68), (153, 153, 153))
"""R, G, B of what a prediction is at a pixel, told apart by people who see no red or green."""


@dataclass(frozen=True)
class Tile:
    """One picture of a row.

    Args:
        title: What it shows.
        note: More about it, or ''.
        source: Data URI.
        width: In pixels.
        height: In pixels.
    """

    title: str
    note: str
    source: str
    width: int
    height: int


@dataclass(frozen=True)
class Row:
    """An image and what the groups make of it.

    Args:
        domain: Its domain.
        name: Name of its file.
        tiles: Image, truth, the predictions, and their errors.
    """

    domain: str
    name: str
    tiles: tuple[Tile, ...]


def make_rows(evaluations: Mapping[str, Evaluation]) -> list[Row]:
    """Return as many rows as the budget allows, an equal number of each domain.

    Args:
        evaluations: What was evaluated, by the title of its group, the baseline first.
    """
    rows, used = [], 0
    for row in _all_rows(evaluations):
        used += sum(len(tile.source) for tile in row.tiles)
        if used > BUDGET:
            break
        rows.append(row)
    return rows


def _all_rows(evaluations: Mapping[str, Evaluation]) -> Iterator[Row]:
    """Yield the first image of each domain, then the second of each."""
    pictures: dict[tuple[str, str, int], dict[str, Picture]] = {}
    for title, evaluation in evaluations.items():
        # Files of two folders may have the same name.
        seen: Counter = Counter()
        for picture in evaluation.pictures:
            name = (picture.domain, picture.name)
            pictures.setdefault((*name, seen[name]), {})[title] = picture
            seen[name] += 1
    rank: dict[str, int] = {}
    order = []
    for key in pictures:
        rank[key[0]] = rank.get(key[0], -1) + 1
        order.append((rank[key[0]], key))
    # A stable sort: the domains keep their order.
    for _, key in sorted(order, key=lambda item: item[0]):
        by_title = pictures[key]
        palette = next(
            e.domains[key[0]]['palette'] for t, e in evaluations.items() if t in by_title
        )
        yield Row(*key[:2], tuple(_tiles(by_title, palette)))


def _tiles(by_title: Mapping[str, Picture], palette: Sequence[Sequence[int]]) -> Iterator[Tile]:
    baseline = next(iter(by_title.values()))
    size = baseline.truth.shape
    yield _tile('image', '', _jpeg(baseline.image), 'jpeg', size)
    yield _tile('truth', '', indexed_png(baseline.truth, _palette(palette)), 'png', size)
    for title, picture in by_title.items():
        prediction = indexed_png(picture.prediction, _palette(palette))
        yield _tile(title, '', prediction, 'png', picture.prediction.shape)
    for title, picture in by_title.items():
        known = None if picture is baseline else baseline
        errors = error_map(picture, known, len(palette))
        counted = errors != IGNORED
        right = np.isin(errors, (RIGHT, CORRECTED)).sum() / max(1, counted.sum())
        content = indexed_png(errors, _palette(ERROR_COLORS))
        yield _tile(
            f'errors of {title}', f'{100 * right:.0f} % right', content, 'png', errors.shape
        )


def _palette(colors: Sequence[Sequence[int]]) -> np.ndarray:
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(colors)] = colors
    return palette


def error_map(picture: Picture, baseline: Picture | None, num_classes: int) -> np.ndarray:
    """Return what a prediction is at each pixel: right, wrong, corrected, still wrong, ignored.

    Args:
        picture: The prediction.
        baseline: That of the baseline for the same image; None makes no difference between errors.
        num_classes: Number of classes C; other labels are ignored.

    Shape:
        - output: [H, W], uint8, indices of :data:`ERROR_COLORS`
    """
    wrong = picture.prediction != picture.truth
    result = np.where(wrong, WRONG, RIGHT).astype(np.uint8)
    if baseline is not None:
        before = baseline.prediction != baseline.truth
        result[before & ~wrong] = CORRECTED
        result[before & wrong] = STILL_WRONG
    result[(picture.truth >= num_classes) | (picture.truth == IGNORE_INDEX)] = IGNORED
    return result


def _jpeg(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format='JPEG', quality=82)
    return buffer.getvalue()


def _tile(title: str, note: str, content: bytes, kind: str, shape: tuple[int, int]) -> Tile:
    source = f'data:image/{kind};base64,{base64.b64encode(content).decode()}'
    return Tile(title, note, source, shape[1], shape[0])
