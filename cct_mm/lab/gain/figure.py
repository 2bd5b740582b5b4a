"""The figure of an analysis: gradients by stage of the encoder, and perturbations by kind."""

import io
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .measure import ENCODER
from .tables import Measured

# Those of a report's page by day.
COLORS = ('#0b5cad', '#c2410c', '#0a7d5b', '#8b3fa0', '#8a6500', '#b0246a', '#0e7490', '#5b6570')
QUIET, RULE = '#5b6570', '#d5dade'
TITLE = dict(loc='left', fontsize=9)


def draw(measured: Sequence[Measured]) -> bytes:
    """Draw what was measured at several checkpoints in one domain.

    Args:
        measured: Of each checkpoint; the perturbations shown are those of the last.

    Returns:
        bytes: A PNG.
    """
    stages = [name for name in measured[0].stages if name != ENCODER]
    width = max(7.0, 2.5 + 0.3 * len(stages))
    figure = Figure(figsize=(width, 8), layout='constrained')
    grid = figure.add_gridspec(3, 1)
    norms, cosines, kinds = (figure.add_subplot(grid[row]) for row in range(3))
    for i, one in enumerate(measured):
        color, title = COLORS[i % len(COLORS)], f'iteration {one.iteration}'
        values = [one.stages[name] for name in stages]
        for key, style, loss in (('labeled', '-', 'L_s'), ('unlabeled', '--', 'w_u L_u')):
            line = [v[key] for v in values]
            norms.plot(line, style, color=color, marker='o', markersize=3, label=f'{loss}, {title}')
        line = [v['cosine'] for v in values]
        cosines.plot(line, color=color, marker='o', markersize=3, label=title)
    # A gradient may be 0: that of L_u after the map that is perturbed.
    norms.set_yscale('log', nonpositive='mask')
    norms.set_title('norm of the gradient', **TITLE)
    cosines.set_title('cosine of the angle between the mean gradients', **TITLE)
    cosines.axhline(0, color=QUIET, linewidth=0.8)
    norms.set_xticks(range(len(stages)), [])
    cosines.set_xticks(range(len(stages)), stages, rotation=90)
    _draw_kinds(kinds, measured[-1])
    for axes in (norms, cosines, kinds):
        tidy(axes)
        axes.legend(fontsize=7, frameon=False, loc='upper left', bbox_to_anchor=(1, 1))
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', dpi=150, metadata={'Software': None})
    return buffer.getvalue()


def _draw_kinds(axes: Axes, measured: Measured) -> None:
    kinds = measured.kinds
    rows = range(len(kinds))
    ends = [[values[key] for values in kinds.values()] for key in ('gap', 'distance')]
    axes.hlines(rows, *ends, color=RULE, linewidth=2)
    axes.plot(ends[0], rows, 'o', color=COLORS[0], fillstyle='none', label='without perturbation')
    axes.plot(ends[1], rows, 'o', color=COLORS[1], label='with perturbation')
    names = [f'{kind} ({values["size"]:.2g})' for kind, values in kinds.items()]
    axes.set_yticks(rows, names)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_title(
        f'distance to the main head at iteration {measured.iteration} '
        '(in brackets: size of the perturbation relative to z)',
        **TITLE,
    )


def tidy(axes: Axes) -> None:
    """Leave a grid behind the data, and no frame."""
    axes.grid(color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.tick_params(which='both', length=0, colors=QUIET, labelsize=7)
