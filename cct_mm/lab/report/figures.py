"""Curves as SVG that takes its colors from the page, so that they are right in light and dark.

matplotlib draws with colors that stand for CSS variables. Only numbers are text in a figure: names
are the page's business, which escapes them.
"""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from markupsafe import Markup, escape
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

DASHES = ((), (5, 2), (1.5, 1.5), (6, 2, 1.5, 2))
"""Lengths of dashes and gaps in units of the line's width; () is a whole line."""
COLORS = 8
"""Number of the page's colors for series, ``--series-0`` and so on."""
POINTS = 150
"""Points of a curve at most; more would not be seen and would weigh."""


@dataclass(frozen=True)
class Curve:
    """A value over the iterations.

    Args:
        steps: Iterations, [P].
        values: The value, or its mean over several runs, [P].
        low: The lowest of several runs, [P], or None.
        high: The highest, likewise.
        series: Number of its color and dashes.
    """

    steps: np.ndarray
    values: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    series: int = 0


def make_curve(runs: Sequence[dict[int, float]], series: int) -> Curve | None:
    """Return the mean and range over runs at the iterations that all of them have.

    Args:
        runs: The value by iteration, for each run that has any.
        series: Number of its color and dashes.

    Returns:
        The curve, or None if there is no such iteration.
    """
    if not runs:
        return None
    steps = np.array(sorted(set.intersection(*(set(run) for run in runs))))
    if not len(steps):
        return None
    steps = steps[np.unique(np.linspace(0, len(steps) - 1, POINTS).round().astype(int))]
    values = np.array([[run[step] for step in steps.tolist()] for run in runs])
    if len(runs) == 1:
        return Curve(steps, values[0], series=series)
    return Curve(steps, values.mean(axis=0), values.min(axis=0), values.max(axis=0), series)


def dashes(series: int) -> tuple[float, ...]:
    """Return the dashes of a series, so that color is not all that tells series apart."""
    return DASHES[(series + series // COLORS) % len(DASHES)]


def draw(curves: Sequence[Curve], alternative: str) -> Markup:
    """Return an SVG element of curves over the iterations.

    Args:
        curves: The curves.
        alternative: What it shows in words, for those who do not see it; no two figures of a page
            have the same.
    """
    with mpl.rc_context({'svg.fonttype': 'none', 'svg.hashsalt': alternative, 'font.size': 8}):
        figure = Figure(figsize=(3.9, 2.2), layout='constrained')
        axes = figure.add_subplot()
        for curve in curves:
            _draw_curve(axes, curve)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.set_xlabel('iteration')
        axes.grid(color='#a1b2d1', linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(length=0, colors='#a1b2d0')
        axes.xaxis.label.set_color('#a1b2d0')
        axes.spines[:].set_visible(False)
        buffer = io.StringIO()
        figure.savefig(
            buffer, format='svg', transparent=True, metadata={'Date': None, 'Creator': None}
        )
    return _clean(buffer.getvalue(), alternative)


def _draw_curve(axes, curve: Curve) -> None:
    color = f'#a1b2c{curve.series % COLORS}'
    if curve.low is not None:
        axes.fill_between(curve.steps, curve.low, curve.high, color=color, alpha=0.18, linewidth=0)
    style = (0, dashes(curve.series)) if dashes(curve.series) else '-'
    marker = 'o' if len(curve.steps) <= 12 else None
    axes.plot(
        *(curve.steps, curve.values),
        color=color,
        linestyle=style,
        linewidth=1.6,
        marker=marker,
        markersize=3,
    )


def _clean(svg: str, alternative: str) -> Markup:
    svg = svg[svg.index('<svg') :]
    svg = re.sub(r'<metadata>.*?</metadata>|<!--.*?-->', '', svg, flags=re.DOTALL)
    svg = svg.replace('xlink:href', 'href')
    # Many figures are on one page, where an id may occur once: those that nothing refers to go.
    used = set(re.findall(r'url\(#(\w+)\)|href="#(\w+)"', svg))
    used = {one or other for one, other in used}
    svg = re.sub(r' id="([^"]+)"', lambda m: m[0] if m[1] in used else '', svg)
    svg = re.sub(r'#a1b2c(\d)', r'var(--series-\1)', svg)
    svg = svg.replace('#a1b2d0', 'var(--quiet)').replace('#a1b2d1', 'var(--rule)')
    box = re.search(r'viewBox="[^"]+"', svg)[0]
    _, _, inside = svg.partition('>')
    return Markup(f'<svg {box} role="img" aria-label="{escape(alternative)}">{inside}')
