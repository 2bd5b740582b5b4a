"""Put a report together: everything that the template shows, and the page itself."""

import datetime
import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from cct_mm.version import __version__

from . import curves
from .evaluation import Evaluation
from .figures import COLORS, dashes
from .pictures import ERROR_COLORS, make_rows
from .runs import Group, baseline_of
from .scores import Cell, Metrics, add_class_scores, domains_of, make_cell, select
from .settings import differences, overview

HERE = Path(__file__).parent
SCORES = {'mIoU': 'mIoU', 'mDice': 'mDice', 'aAcc': 'pixel accuracy', 'mAcc': 'mean accuracy'}
"""Names of a domain's scores, and what the page calls them."""
MATRIX_CLASSES = 40
"""Classes of a confusion matrix at most; the cells of more weigh megabytes and are not read."""


@dataclass(frozen=True)
class Measured:
    """What is known of a group's scores.

    Args:
        group: The group.
        metrics: Scores of each run, by seed.
        evaluation: That of the group's first run, None where it could not be made.
    """

    group: Group
    metrics: dict[int, Metrics]
    evaluation: Evaluation | None


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
        results=_results(measured, list(domains)),
        overviews=_by_name([overview(group) for group in groups]),
        differences=differences([g.first.config for g in groups]) if len(groups) > 1 else [],
        configs=_configs(groups),
        losses=curves.figures_of_losses(groups),
        scores=curves.figures_of_scores(groups),
        rates=curves.figures_of_rates(groups),
        rest=curves.figures_of_the_rest(groups),
        agreements=curves.agreements(groups),
        classes=[_class_table(measured, name, domains[name]) for name in domains],
        evaluations=evaluations,
        confusions=_confusions(evaluations),
        rows=make_rows(evaluations),
        palettes=_palettes(evaluations),
        error_colors=['rgb({}, {}, {})'.format(*color) for color in ERROR_COLORS],
        costs=_by_name([_cost(group) for group in groups]),
    )


def _results(measured: Sequence[Measured], domains: Sequence[str]) -> dict[str, Any]:
    """The main scores of all groups: what the cards show, and the rows of the table."""
    names = {} if len(domains) == 1 else {'mIoU': 'mean mIoU' if domains else 'mIoU'}
    for domain in domains:
        for name, title in SCORES.items():
            names[f'{domain}/{name}'] = f'{domain} {title}'
    rows = {
        title: [_cell(measured, one, name) for one in measured] for name, title in names.items()
    }
    # What nobody has measured is no row.
    rows = {title: cells for title, cells in rows.items() if any(c.mean is not None for c in cells)}
    main, cards = next(iter(rows.items()), ('', []))
    groups = [one.group for one in measured]
    compared = [baseline_of(group, groups) for group in groups]
    return {
        'rows': list(rows.items()),
        'main': main,
        'cards': cards,
        'compared': [group and group.title for group in compared],
        'several': any(len(group.runs) > 1 for group in groups),
        'each': [
            (group.title, ', '.join(f'{seed}: {_signed(d)}' for seed, d in cell.each.items()))
            for group, cell in zip(groups, cards)
            if len(cell.each or ()) > 1
        ],
    }


def _cell(measured: Sequence[Measured], one: Measured, name: str) -> Cell:
    base = baseline_of(one.group, [other.group for other in measured])
    baseline = next((other.metrics for other in measured if other.group is base), None)
    return make_cell(select(one.metrics, name), baseline and select(baseline, name))


def _class_table(measured: Sequence[Measured], domain: str, classes: Sequence[str]) -> dict:
    complete = []
    for one in measured:
        confusion = one.evaluation.confusion if one.evaluation else None
        # Of several runs only the first has a matrix, and one run's accuracy is not the mean.
        confusion = confusion if len(one.metrics) == 1 else None
        metrics = {seed: add_class_scores(m, confusion) for seed, m in one.metrics.items()}
        complete.append(Measured(one.group, metrics, one.evaluation))
    columns = [
        (one, name)
        for one in complete
        for name in ('IoU', 'Dice', 'Acc')
        if any(select(one.metrics, f'{domain}/{name}.{label}') for label in classes)
    ]
    rows = [
        (label, [_cell(complete, one, f'{domain}/{name}.{label}') for one, name in columns])
        for label in classes
    ]
    spans = [(one.group.title, sum(other is one for other, _ in columns)) for one in complete]
    return {
        'domain': domain,
        'spans': [(title, count) for title, count in spans if count],
        'columns': [name for _, name in columns],
        'rows': rows,
    }


def _confusions(evaluations: Mapping[str, Evaluation]) -> list[dict]:
    found = []
    for domain in dict.fromkeys(name for one in evaluations.values() for name in one.confusion):
        for title, evaluation in evaluations.items():
            counts = evaluation.confusion.get(domain)
            if counts is None:
                continue
            classes = evaluation.domains[domain]['classes']
            totals = counts.sum(axis=1, keepdims=True)
            shares = np.divide(100 * counts, totals, where=totals > 0, out=np.zeros(counts.shape))
            found.append(
                {
                    'group': title,
                    'domain': domain,
                    'classes': classes,
                    'shares': shares.tolist() if len(counts) <= MATRIX_CLASSES else None,
                    'pixels': totals.squeeze(1).tolist(),
                    'largest': _largest(shares, classes),
                }
            )
    return found


def _largest(shares: np.ndarray, classes: Sequence[str], count: int = 5) -> list[tuple]:
    """Return the largest confusions: true class, what it was taken for, and the share."""
    wrong = shares * (1 - np.eye(len(shares)))
    order = np.argsort(-wrong, axis=None, kind='stable')[:count]
    pairs = [divmod(int(cell), len(shares)) for cell in order]
    return [(classes[i], classes[j], wrong[i, j].item()) for i, j in pairs if wrong[i, j] > 0]


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


def _cost(group: Group) -> dict[str, str]:
    """Time and memory of a group, the median over its runs; what is not known is left out."""
    rows: dict[str, list[float]] = {}
    for run in group.runs:
        training, _ = run.scalars
        steps = [(step, line) for step, line in training.items() if 'time' in line]
        if not steps:
            continue
        seconds = [line['time'] for _, line in steps]
        loading = [line['data_time'] for _, line in steps if 'data_time' in line]
        gaps = np.diff([0, *(step for step, _ in steps)])
        rows.setdefault('iterations', []).append(run.last_iteration)
        rows.setdefault('sessions', []).append(run.sessions)
        rows.setdefault('seconds an iteration', []).append(statistics.median(seconds))
        if loading:
            rows.setdefault('of these, waiting for images', []).append(statistics.median(loading))
        rows.setdefault('minutes of iterations', []).append(float(gaps @ seconds) / 60)
        memory = [line['memory'] for _, line in steps if 'memory' in line]
        if memory:
            rows.setdefault('peak memory of the GPU, MiB', []).append(max(memory))
        if run.checkpoint:
            size = run.checkpoint.stat().st_size / 2**20
            rows.setdefault('checkpoint, MiB', []).append(size)
    costs = {name: _number(statistics.median(values)) for name, values in rows.items()}
    if group.first.record:
        machine = group.first.record['machine']
        costs['machine'] = machine['gpu'] or f'{machine["cpu"]} ({machine["cores"]} cores)'
        costs['PyTorch'] = machine['torch']
    return costs


def _by_name(columns: Sequence[Mapping[str, str]]) -> list[tuple[str, list[str | None]]]:
    """Turn one mapping a group into rows: a name and its value in each group."""
    names = dict.fromkeys(name for column in columns for name in column)
    return [(name, [column.get(name) for column in columns]) for name in names]


def _score(value: float | None, spread: float | None = None) -> str:
    if value is None or math.isnan(value):
        return '–'
    return f'{value:.2f}' + ('' if spread is None else f' ± {spread:.2f}')


def _signed(value: float, spread: float | None = None) -> str:
    text = f'{value:+.2f}'.replace('-', '−')
    return text + ('' if spread is None else f' ± {spread:.2f}')


def _number(value: float) -> str:
    return f'{value:,.0f}' if abs(value) >= 1000 or value == int(value) else f'{value:.3g}'


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
