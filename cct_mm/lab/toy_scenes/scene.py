"""The scene before the camera: surfaces with a color and a depth, painted from far to near."""

import colorsys
from collections.abc import Callable, Sequence

import numpy as np

HEIGHT, WIDTH = 96, 128

Color = np.ndarray
"""RGB in 0 .. 1."""
Shape = tuple[tuple[float, float, float, float], Callable[[np.ndarray, np.ndarray], np.ndarray]]
"""Bounding box (top, left, bottom, right), and whether positions (y, x) are inside."""


class Scene:
    """Surfaces in front of the camera, painted from far to near.

    Args:
        rng: Source of all random numbers of this image.
        classes: Names of the classes, by label.
        zoom: Size of the things, as a multiple of the usual one.
    """

    def __init__(self, rng: np.random.Generator, classes: Sequence[str], zoom: float = 1.0) -> None:
        self.rng = rng
        self.zoom = zoom
        self.classes = classes
        self.surface = np.zeros((HEIGHT, WIDTH, 3))
        """Share of the light that is reflected, [H, W, 3]."""
        self.emission = np.zeros((HEIGHT, WIDTH, 3))
        """Light that is emitted by the sky and by lamps, [H, W, 3]."""
        self.shade = np.ones((HEIGHT, WIDTH))
        """Share of the sunlight that arrives, [H, W]."""
        self.nearness = np.zeros((HEIGHT, WIDTH))
        """0 at the horizon, 1 at the lower edge, [H, W]; haze depends on it."""
        self.label = np.zeros((HEIGHT, WIDTH), np.uint8)
        self.grain = rng.uniform(-1, 1, (HEIGHT, WIDTH))
        self.patches = self.noise(4)
        self.horizon = rng.uniform(0.3, 0.56) * HEIGHT

    def uniform(self, low: float, high: float) -> float:
        """Draw a number between ``low`` and ``high``."""
        return float(self.rng.uniform(low, high))

    def chance(self, probability: float) -> bool:
        """Draw whether something happens."""
        return bool(self.rng.random() < probability)

    def pick(self, options: Sequence, weights: Sequence[float] | None = None):
        """Draw one of the options."""
        return options[int(self.rng.choice(len(options), p=weights))]

    def noise(self, cell: float) -> np.ndarray:
        """Return smooth noise in [-1, 1] whose features are ``cell`` pixels wide, [H, W]."""
        rows, columns = (_interpolation(size, cell, self.uniform(0, 1)) for size in (HEIGHT, WIDTH))
        return rows @ self.rng.uniform(-1, 1, (rows.shape[1], columns.shape[1])) @ columns.T

    def paint(
        self,
        shape: Shape,
        color: Color,
        name: str,
        nearness: float,
        grain: float = 0.05,
        patches: float = 0.0,
        emission: Color | float = 0.0,
    ) -> None:
        """Cover a shape with a surface of class ``name``.

        Args:
            shape: Bounding box and inside test.
            color: RGB in 0 .. 1.
            name: The class.
            nearness: Depth of the surface, 0 .. 1.
            grain: Strength of variation from pixel to pixel, as a share of the brightness.
            patches: Strength of variation over a few pixels.
            emission: Light that it emits.
        """
        region, mask = rasterize(shape)
        if mask is None:
            return
        texture = 1 + grain * self.grain[region][mask] + patches * self.patches[region][mask]
        self.surface[region][mask] = color * texture[:, None]
        self.emission[region][mask] = emission
        self.shade[region][mask] = 1.0
        self.nearness[region][mask] = nearness
        self.label[region][mask] = self.classes.index(name)

    def darken_ground(self, shape: Shape, share: float) -> None:
        """Let a shadow fall on the ground inside a shape."""
        region, mask = rasterize(shape)
        if mask is not None:
            mask &= self.label[region] == self.classes.index('ground')
            self.shade[region][mask] = np.minimum(self.shade[region][mask], share)

    def stand(self, nearest: float = 1.0, farthest: float = 0.04) -> tuple[float, float, float]:
        """Choose a place for a thing: row and column of its foot, and its nearness."""
        nearness = self.uniform(farthest, nearest)
        row = self.horizon + 1 + nearness**1.2 * (HEIGHT - self.horizon)
        return row, self.uniform(-4, WIDTH + 4), nearness


def _interpolation(size: int, cell: float, offset: float) -> np.ndarray:
    position = np.arange(size) / cell + offset
    lower = np.floor(position).astype(int)
    weight = position - lower
    weight = weight * weight * (3 - 2 * weight)
    matrix = np.zeros((size, lower[-1] + 2))
    matrix[np.arange(size), lower] = 1 - weight
    matrix[np.arange(size), lower + 1] = weight
    return matrix


def rasterize(shape: Shape) -> tuple[tuple[slice, slice], np.ndarray | None]:
    """Return the region that the shape's box covers, and its mask there (None if empty)."""
    (top, left, bottom, right), inside = shape
    rows = slice(max(0, int(top)), min(HEIGHT, int(bottom) + 2))
    columns = slice(max(0, int(left)), min(WIDTH, int(right) + 2))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return (rows, columns), None
    y = np.arange(rows.start, rows.stop)[:, None] + 0.5
    x = np.arange(columns.start, columns.stop)[None] + 0.5
    mask = inside(y, x)
    return (rows, columns), mask if mask.any() else None


def ellipse(y: float, x: float, height: float, width: float) -> Shape:
    """Return an ellipse around (y, x); height and width are half axes."""
    return (
        (y - height, x - width, y + height, x + width),
        lambda v, u: ((v - y) / height) ** 2 + ((u - x) / width) ** 2 <= 1,
    )


def polygon(*corners: tuple[float, float]) -> Shape:
    """Return a convex polygon; its corners are (y, x), in either direction."""
    ys, xs = zip(*corners, strict=True)
    edges = list(zip(corners, (*corners[1:], corners[0]), strict=True))

    def inside(v: np.ndarray, u: np.ndarray) -> np.ndarray:
        sides = [(x1 - x0) * (v - y0) - (y1 - y0) * (u - x0) for (y0, x0), (y1, x1) in edges]
        return np.logical_and.reduce([side >= 0 for side in sides]) | np.logical_and.reduce(
            [side <= 0 for side in sides]
        )

    return (min(ys), min(xs), max(ys), max(xs)), inside


def box(top: float, left: float, bottom: float, right: float) -> Shape:
    """Return an upright rectangle."""
    return (
        (top, left, bottom, right),
        lambda v, u: (v >= top) & (v <= bottom) & (u >= left) & (u <= right),
    )


def hsv(hue: float, saturation: float, value: float) -> Color:
    """Return the RGB of a hue in degrees, a saturation and a value in 0 .. 1."""
    return np.array(colorsys.hsv_to_rgb(hue / 360 % 1, saturation, value))
