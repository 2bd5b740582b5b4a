"""Pictures of label maps, for people to look at."""

import io
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo


def colorize(labels: np.ndarray, palette: Sequence[Sequence[int]]) -> np.ndarray:
    """Paint a label map with its dataset's palette; labels without a class are black.

    Args:
        labels: [H, W], integers.
        palette: R, G, B of each class, 0-255.

    Returns:
        np.ndarray: [H, W, 3], RGB, uint8.
    """
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(palette)] = palette
    return colours[labels.astype(np.uint8)]


def indexed_png(
    labels: np.ndarray, palette: np.ndarray, notes: Mapping[str, str] | None = None
) -> bytes:
    """Return a label map as a PNG that holds the labels and shows their colours.

    Args:
        labels: [H, W], uint8.
        palette: R, G, B of each label, [256, 3], uint8.
        notes: Texts to keep in the file, by keyword.
    """
    picture = Image.fromarray(labels)
    picture.putpalette(palette.tobytes())
    info = PngInfo()
    for keyword, text in (notes or {}).items():
        info.add_text(keyword, text)
    buffer = io.BytesIO()
    picture.save(buffer, format='PNG', pnginfo=info)
    return buffer.getvalue()


def overlay(image: np.ndarray, colours: np.ndarray, opacity: float = 0.6) -> np.ndarray:
    """Lay a painted label map over its image.

    Args:
        image: [H, W, 3], RGB, uint8.
        colours: The painted labels, the same shape.
        opacity: Of the labels, in [0, 1].

    Returns:
        np.ndarray: [H, W, 3], RGB, uint8.
    """
    return cv2.addWeighted(colours, opacity, np.ascontiguousarray(image), 1 - opacity, 0)


def fit(image: np.ndarray, side: int = 256) -> np.ndarray:
    """Bring a picture into a square on white, so that pictures of any size stand in one sheet.

    Args:
        image: [H, W, 3], RGB, uint8.
        side: Of the square, in pixels.

    Returns:
        np.ndarray: [side, side, 3], RGB, uint8.
    """
    height, width = image.shape[:2]
    factor = side / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    square = np.full((side, side, 3), 255, np.uint8)
    square[: size[1], : size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return square


def sheet(
    rows: Sequence[Sequence[np.ndarray]], titles: Sequence[str], scale: int = 2
) -> np.ndarray:
    """Lay pictures out in a grid with a title over each column.

    Args:
        rows: Pictures of one size, [H, W, 3] RGB, as many in each row as there are titles.
        titles: Of the columns.
        scale: Factor by which the pictures are enlarged.

    Returns:
        np.ndarray: One picture, RGB, uint8.
    """
    height, width = (side * scale for side in rows[0][0].shape[:2])
    gap, header = 6, 28
    canvas = np.full(
        (header + len(rows) * (height + gap), len(titles) * (width + gap), 3), 255, np.uint8
    )
    for j, title in enumerate(titles):
        x = j * (width + gap)
        cv2.putText(
            canvas, title, (x, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (0, 0, 0), 1, cv2.LINE_AA
        )
        for i, row in enumerate(rows):
            y = header + i * (height + gap)
            picture = cv2.resize(row[j], (width, height), interpolation=cv2.INTER_NEAREST)
            canvas[y : y + height, x : x + width] = picture
    return canvas
