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
        labels: Label map.
        palette: R, G, B of each class, 0-255.

    Shape:
        - labels: [H, W], integers
        - output: [H, W, 3], RGB, uint8
    """
    colors = np.zeros((256, 3), np.uint8)
    colors[: len(palette)] = palette
    return colors[labels.astype(np.uint8)]


def viewable(image: np.ndarray) -> np.ndarray:
    """Return a picture of an image of any number of channels, for people to look at.

    Of three channels it is the image itself, of more the first three, of fewer the first in gray.
    But for images of three channels, values from the darkest to the brightest hundredth are
    stretched over the whole range, for most of them (infrared, 12 of 16 bits) use little of it.

    Args:
        image: Image whose first three channels are B, G, R if it has three, else R, G, B.

    Shape:
        - image: [H, W, C] or [H, W], numbers
        - output: [H, W, 3], RGB, uint8
    """
    if image.ndim == 2:
        image = image[..., None]
    if image.shape[2] == 3:
        return np.ascontiguousarray(image.astype(np.uint8)[..., ::-1])
    shown = image[..., :3] if image.shape[2] > 3 else image[..., :1].repeat(3, axis=2)
    low, high = np.percentile(shown, (1, 99))
    return np.uint8(((shown - low) * (255 / max(high - low, 1e-6))).clip(0, 255).round())


def indexed_png(
    labels: np.ndarray, palette: np.ndarray, notes: Mapping[str, str] | None = None
) -> bytes:
    """Return a label map as a PNG that holds the labels and shows their colors.

    Args:
        labels: Label map, [H, W], uint8.
        palette: R, G, B of each label, [256, 3], uint8.
        notes: Keyword -> text to keep in the file.
    """
    picture = Image.fromarray(labels)
    picture.putpalette(palette.tobytes())
    info = PngInfo()
    for keyword, text in (notes or {}).items():
        info.add_text(keyword, text)
    buffer = io.BytesIO()
    picture.save(buffer, format='PNG', pnginfo=info)
    return buffer.getvalue()


def jpeg(picture: np.ndarray) -> bytes:
    """Return an RGB picture, [H, W, 3], uint8, as a JPEG."""
    return cv2.imencode('.jpg', picture[..., ::-1])[1].tobytes()


def overlay(image: np.ndarray, colors: np.ndarray, opacity: float = 0.6) -> np.ndarray:
    """Lay a painted label map over its image.

    Args:
        image: RGB image.
        colors: The painted label map, RGB.
        opacity: Opacity of the label map, in [0, 1].

    Shape:
        - image, colors and output: [H, W, 3], uint8
    """
    return cv2.addWeighted(colors, opacity, np.ascontiguousarray(image), 1 - opacity, 0)


def fit(image: np.ndarray, side: int = 256) -> np.ndarray:
    """Resize a picture into a white square, so that pictures of any size fit one sheet.

    Args:
        image: RGB picture, [H, W, 3], uint8.
        side: Side of the square, in pixels.
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
    """Lay pictures out in a grid with a title over each column, as one RGB picture.

    Args:
        rows: RGB pictures of one size, [H, W, 3], uint8; each row has as many as there are titles.
        titles: Titles of the columns.
        scale: Factor by which the pictures are enlarged.
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
