"""How good pseudo-labels are, where true masks exist."""

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from cct_mm.labels import IGNORE_INDEX
from cct_mm.weak.generate import Summary
from cct_mm.weak.images import Image, Images
from cct_mm.weak.pseudo_labels import PRESETS, Recipe

from .markdown import markdown_table

SWEPT_BACKGROUND = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
"""Values of theta_bg that a report goes through."""
SWEPT_FOREGROUND = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
"""Values of theta_fg that a report goes through."""


def count(truth: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Count pixels by true class and pseudo-label.

    Args:
        truth: True labels; 255 counts nowhere.
        labels: Pseudo-labels, 255 where there is none.
        num_classes: C.

    Shape:
        - truth, labels: [H, W]
        - output: [C, C + 1], a column for each label and the last for none
    """
    known = truth != IGNORE_INDEX
    columns = np.where(labels[known] == IGNORE_INDEX, num_classes, labels[known]).astype(np.int64)
    index = truth[known].astype(np.int64) * (num_classes + 1) + columns
    counts = np.bincount(index, minlength=num_classes * (num_classes + 1))
    return counts.reshape(num_classes, num_classes + 1)


@dataclass(frozen=True)
class Quality:
    """What the counts of a dataset say, in percent; nan where nothing is to be said.

    Args:
        counts: From :func:`count`, summed over the images.

    Shape:
        - counts: [C, C + 1]
    """

    counts: np.ndarray

    @property
    def coverage(self) -> float:
        """Share of the pixels that have a pseudo-label."""
        return _percent(self.counts[:, :-1].sum(), self.counts.sum())

    @property
    def precision(self) -> np.ndarray:
        """For each class, the share of pixels with this pseudo-label that show it, [C]."""
        given = self.counts[:, :-1]
        return _percent(given.diagonal(), given.sum(axis=0))

    @property
    def recall(self) -> np.ndarray:
        """For each class, the share of its pixels that have its pseudo-label, [C]."""
        return _percent(self.counts[:, :-1].diagonal(), self.counts.sum(axis=1))

    @property
    def iou(self) -> np.ndarray:
        """Intersection over union of each class over the pixels that have a pseudo-label, [C]."""
        given = self.counts[:, :-1]
        union = given.sum(axis=0) + given.sum(axis=1) - given.diagonal()
        return _percent(given.diagonal(), union)

    @property
    def miou(self) -> float:
        """Mean of ``iou`` over the classes that occur."""
        return float(np.nanmean(self.iou)) if np.isfinite(self.iou).any() else float('nan')


def _percent(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    with np.errstate(invalid='ignore'):
        return 100 * np.asarray(part, np.float64) / whole


def recipes(crf: bool, has_background: bool, **thresholds: float) -> dict[str, Recipe]:
    """Return the recipes that a report compares: the presets, before and after the CRF.

    Args:
        crf: Whether there is one.
        has_background: Whether label 0 is background; the released recipe needs it.
        thresholds: ``background`` and ``foreground`` in place of the presets' own.
    """
    found = {}
    for name, preset in PRESETS.items():
        recipe = replace(preset, **thresholds)
        if recipe.per_threshold and not has_background:
            continue
        found[f'{name}, no CRF'] = replace(recipe, crf=None)
        if crf:
            found[f'{name}, CRF'] = recipe
    # Without a CRF the two thresholds do not know of each other: the presets are the same.
    found.pop('released, no CRF', None)
    return found


@dataclass(frozen=True)
class Scorer:
    """Compares one image's pseudo-labels, by several recipes and over thresholds, with its mask.

    Args:
        recipes: By name.
        num_classes: C.
        has_background: Whether label 0 is background.
    """

    recipes: dict[str, Recipe]
    num_classes: int
    has_background: bool
    swept: dict[tuple[float, float], Recipe] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for background in SWEPT_BACKGROUND if self.has_background else (0.0,):
            for foreground in SWEPT_FOREGROUND:
                if background <= foreground:
                    recipe = Recipe(background, foreground, crf=None)
                    self.swept[background, foreground] = recipe

    def __call__(self, image: Image, maps: np.ndarray) -> dict[str | tuple, np.ndarray]:
        """Return the counts of each recipe, by its name or its thresholds."""
        rgb = image.pixels[..., ::-1]
        found = {}
        for key, recipe in {**self.recipes, **self.swept}.items():
            labels = recipe.labels(rgb, maps, image.present, self.has_background, image.complete)
            found[key] = count(image.truth, labels, self.num_classes)
        return found


def compare_files(
    images: Images, labeled: Images, num_classes: int, summary: Summary
) -> Iterator[dict[str | tuple, np.ndarray]]:
    """Compare pseudo-labels that are on disk with masks; yield each image's counts as 'files'.

    Args:
        images: The images with their masks as truth.
        labeled: The same images with their pseudo-labels as truth.
        num_classes: C.
        summary: Where images that cannot be compared are kept.
    """
    for item in range(len(images)):
        image, made = images[item], labeled[item]
        if problem := image.problem or made.problem:
            summary.problems[image.path] = problem
        else:
            yield {'files': count(image.truth, made.truth, num_classes)}


def add(totals: dict, counts: dict) -> None:
    """Add the counts of one image to those of the dataset, in place."""
    for key, value in counts.items():
        totals[key] = totals.get(key, 0) + value


def report(
    totals: dict[str | tuple, np.ndarray], classes: Sequence[str], images: int, skipped: int = 0
) -> str:
    """Return the tables of a report as Markdown.

    Args:
        totals: Counts by recipe and by thresholds.
        classes: Names of the classes.
        images: How many images were compared.
        skipped: How many could not be.
    """
    named = {key: Quality(value) for key, value in totals.items() if isinstance(key, str)}
    left_out = f' ({skipped} more could not be compared)' if skipped else ''
    lines = [f'## Pseudo-labels of {images} images{left_out}', '']
    lines += [
        'mIoU over the pixels that have a pseudo-label, coverage: the share of pixels that do; in '
        'percent.',
        '',
    ]
    lines.append(
        _table(
            ['recipe', 'mIoU', 'coverage', 'mean precision', 'mean recall'],
            (
                [name, q.miou, q.coverage, np.nanmean(q.precision), np.nanmean(q.recall)]
                for name, q in named.items()
            ),
        )
    )
    lines += ['', 'Precision / recall / IoU of each class:', '']
    lines.append(
        _table(
            ['class', *named],
            (
                [
                    name,
                    *(
                        ' / '.join(f'{values[i]:.1f}' for values in (q.precision, q.recall, q.iou))
                        for q in named.values()
                    ),
                ]
                for i, name in enumerate(classes)
            ),
        )
    )
    swept = {key: Quality(value) for key, value in totals.items() if isinstance(key, tuple)}
    if swept:
        foregrounds = sorted({foreground for _, foreground in swept})
        lines += [
            '',
            'mIoU (coverage) by thresholds, without CRF; rows theta_bg, columns theta_fg:',
        ]
        lines += ['']
        lines.append(
            _table(
                ['', *map(str, foregrounds)],
                (
                    [
                        str(background),
                        *(
                            f'{swept[key].miou:.1f} ({swept[key].coverage:.0f})'
                            if key in swept
                            else ''
                            for key in ((background, foreground) for foreground in foregrounds)
                        ),
                    ]
                    for background in sorted({background for background, _ in swept})
                ),
            )
        )
    return '\n'.join(lines) + '\n'


def _table(header: list[str], rows: Iterable[list]) -> str:
    cells = [[v if isinstance(v, str) else f'{v:.1f}' for v in row] for row in rows]
    return markdown_table(header, cells)


def plot(totals: dict[str | tuple, np.ndarray]) -> bytes:
    """Draw mIoU over coverage, a line for each theta_bg, and the recipes as points, as a PNG.

    Args:
        totals: As for :func:`report`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5))
    axes = figure.add_subplot(xlabel='coverage, %', ylabel='mIoU of the covered pixels, %')
    swept = {key: Quality(value) for key, value in totals.items() if isinstance(key, tuple)}
    for background in sorted({background for background, _ in swept}):
        keys = sorted(key for key in swept if key[0] == background)
        x, y = ([getattr(swept[k], v) for k in keys] for v in ('coverage', 'miou'))
        axes.plot(x, y, marker='.', label=f'theta_bg = {background}')
        for key, *place in zip(keys, x, y, strict=True):
            axes.annotate(f'{key[1]}', place, fontsize=7, xytext=(2, 2), textcoords='offset points')
    for key, value in totals.items():
        if isinstance(key, str):
            quality = Quality(value)
            axes.plot(quality.coverage, quality.miou, '*', markersize=11, label=key)
    axes.legend(fontsize=8, title='numbers: theta_fg', title_fontsize=8)
    axes.grid(alpha=0.3)
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=120, format='png')
    return buffer.getvalue()
