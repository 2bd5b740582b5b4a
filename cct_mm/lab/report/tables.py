"""The tables of a report: scores, classes, confusion matrices, time and memory."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .evaluation import Evaluation
from .runs import Group, baseline_of
from .scores import Cell, Metrics, add_class_scores, domains_of, make_cell, select

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


def results(measured: Sequence[Measured], domains: Sequence[str]) -> dict[str, Any]:
    """Return the main scores: what the cards show, and the rows of the table.

    Args:
        measured: The groups and their scores, the baseline first.
        domains: Names of the domains.
    """
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
    }


def _cell(measured: Sequence[Measured], one: Measured, name: str) -> Cell:
    base = baseline_of(one.group, [other.group for other in measured])
    baseline = next((other.metrics for other in measured if other.group is base), None)
    if '/' not in name and baseline and _domains(baseline) != _domains(one.metrics):
        # Means over different domains.
        baseline = None
    return make_cell(select(one.metrics, name), baseline and select(baseline, name))


def _domains(metrics: Mapping[int, Metrics]) -> set[str]:
    return {domain for of_run in metrics.values() for domain in domains_of(of_run)}


def class_table(measured: Sequence[Measured], domain: str, classes: Sequence[str]) -> dict:
    """Return IoU, Dice and accuracy of each class of a domain, for each group that has them.

    Args:
        measured: The groups and their scores, the baseline first.
        domain: Name of the domain.
        classes: Its classes.
    """
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


def confusions(evaluations: Mapping[str, Evaluation]) -> list[dict]:
    """Return the confusion matrices in percent of each true class, those of a domain together.

    Args:
        evaluations: What was evaluated, by the title of its group.
    """
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


def cost(group: Group) -> dict[str, str]:
    """Return time and memory of a group, the median over its runs; what is not known is left out.

    Args:
        group: The group.
    """
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


def _number(value: float) -> str:
    return f'{value:,.0f}' if abs(value) >= 1000 or value == int(value) else f'{value:.3g}'
