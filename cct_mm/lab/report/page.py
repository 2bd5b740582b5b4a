"""Put a report together: everything that the template shows, and the page itself."""

import datetime
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from cct_mm.version import __version__

from . import curves, tables
from .evaluation import Evaluation
from .figures import COLORS, dashes
from .pictures import ERROR_COLORS, make_rows
from .runs import Group
from .scores import domains_of
from .settings import differences, overview
from .tables import Measured

HERE = Path(__file__).parent


def render(measured: Sequence[Measured], split: str, notes: Sequence[str], command: str) -> str:
    """Return the page.

    Args:
        measured: The groups and their scores, the baseline first.
        split: What the scores are of.
        notes: What is missing, in sentences.
        command: The command that makes the page again.
    """
    groups = [one.group for one in measured]
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(score=_score, signed=_signed, swatch=_swatch, breakable=_breakable)
    domains: dict[str, list[str]] = {}
    for one in measured:
        for metrics in one.metrics.values():
            domains |= domains_of(metrics)
    evaluations = {one.group.title: one.evaluation for one in measured if one.evaluation}
    return environment.get_template('template.html.j2').render(
        style=Markup((HERE / 'style.css').read_text(encoding='utf-8')),
        script=Markup((HERE / 'script.js').read_text(encoding='utf-8')),
        title=' and '.join(group.title for group in groups)
        if len(groups) < 4
        else f'{groups[0].title} and {len(groups) - 1} others',
        groups=groups,
        split=split,
        notes=notes,
        command=command,
        date=datetime.date.today().isoformat(),
        version=__version__,
        results=tables.results(measured, list(domains)),
        overviews=_by_name([overview(group) for group in groups]),
        differences=differences([g.first.config for g in groups]) if len(groups) > 1 else [],
        configs=_configs(groups),
        losses=curves.figures_of_losses(groups),
        scores=curves.figures_of_scores(groups),
        rates=curves.figures_of_rates(groups),
        rest=curves.figures_of_the_rest(groups),
        agreements=curves.agreements(groups),
        classes=[tables.class_table(measured, name, domains[name]) for name in domains],
        evaluations=evaluations,
        confusions=tables.confusions(evaluations),
        rows=make_rows(evaluations),
        palettes=_palettes(evaluations),
        error_colors=['rgb({}, {}, {})'.format(*color) for color in ERROR_COLORS],
        costs=_by_name([tables.cost(group) for group in groups]),
    )


def _palettes(evaluations: Mapping[str, Evaluation]) -> dict[str, list[tuple[str, str]]]:
    palettes = {}
    for evaluation in evaluations.values():
        for domain, meta in evaluation.domains.items():
            colors = ['rgb({}, {}, {})'.format(*color) for color in meta['palette']]
            palettes.setdefault(domain, list(zip(meta['classes'], colors, strict=True)))
    return palettes


def _configs(groups: Sequence[Group]) -> list[tuple[str, str]]:
    files = [(group.title, group.first.config_file) for group in groups]
    return [
        (title, file.read_text(encoding='utf-8', errors='replace')) for title, file in files if file
    ]


def _by_name(columns: Sequence[Mapping[str, str]]) -> list[tuple[str, list[str | None]]]:
    """Turn one mapping a group into rows: a name and its value in each group."""
    names = dict.fromkeys(name for column in columns for name in column)
    return [(name, [column.get(name) for column in columns]) for name in names]


def _score(value: float | None, spread: float | None = None) -> str:
    if value is None or math.isnan(value):
        return '–'
    return f'{value:.2f}' + ('' if spread is None else f' ± {spread:.2f}')


def _signed(value: float, spread: float | None = None) -> str:
    # A true minus sign; and nothing that rounds to zero has one.
    text = f'{round(value, 2) + 0.0:+.2f}'.replace('-', '−')
    return text + ('' if spread is None else f' ± {spread:.2f}')


def _swatch(series: int) -> Markup:
    """Return a short piece of a series' line, for a legend."""
    dash = ' '.join(str(1.6 * length) for length in dashes(series))
    return Markup(
        '<svg class="swatch" viewBox="0 0 24 6" aria-hidden="true"><path d="M0 3H24" '
        f'stroke="var(--series-{series % COLORS})" stroke-width="2.4" '
        f'stroke-dasharray="{dash or "none"}"/></svg>'
    )


def _breakable(name: str) -> Markup:
    """Escape a name, and let lines break where its parts meet."""
    return Markup(re.sub(r'([_./])(?=\w)', r'\1<wbr>', str(escape(name))))
