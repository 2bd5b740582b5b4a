"""Images, labels and distances side by side, as in Figs. 2 and 7."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cct_mm.visualization import colorize

WIDTH = 3.2
"""Of a panel, in inches."""


@dataclass(frozen=True)
class Picture:
    """One row.

    Args:
        name: Name of the image's file.
        image: [H, W, 3], RGB, uint8.
        labels: [H, W].
        distances: [H, W] for each level.
    """

    name: str
    image: np.ndarray
    labels: np.ndarray
    distances: Mapping[str, np.ndarray]


def draw(
    pictures: Sequence[Picture], palette: Sequence[Sequence[int]], titles: Mapping[str, str]
) -> bytes:
    """Draw rows of image, labels and distances as a PNG; dark is far, as in the paper.

    Each map of distances has a scale of its own beside it, up to the 99th percentile.

    Args:
        pictures: The rows.
        palette: R, G, B of each class.
        titles: Of the maps of distances, by level.
    """
    from matplotlib.figure import Figure

    height = max(p.image.shape[0] / p.image.shape[1] for p in pictures) * WIDTH + 0.3
    columns = 2 + len(titles)
    figure = Figure(figsize=(columns * WIDTH, len(pictures) * height), layout='constrained')
    panels = figure.subplots(len(pictures), columns, squeeze=False)
    for row, picture in zip(panels, pictures, strict=True):
        row[0].set_title(picture.name, fontsize=8)
        row[0].imshow(picture.image)
        row[1].set_title('labels', fontsize=8)
        row[1].imshow(colorize(picture.labels, palette))
        for panel, (level, title) in zip(row[2:], titles.items(), strict=True):
            distances = picture.distances[level]
            panel.set_title(f'distance: {title}', fontsize=8)
            top = max(float(np.percentile(distances, 99)), 1e-9)
            shown = panel.imshow(distances, cmap='magma_r', vmin=0, vmax=top)
            bar = figure.colorbar(shown, ax=panel, fraction=0.04, pad=0.02, extend='max')
            bar.ax.tick_params(labelsize=6)
        for panel in row:
            panel.set_axis_off()
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110, format='png')
    return buffer.getvalue()
