"""Scores of groups of runs, and their differences to the baseline."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from cct_mm.evaluation import class_scores
from cct_mm.lab.grids.table import mean_and_spread, paired_difference

Metrics = Mapping[str, float | None]
"""Scores in percent by the names of ``DomainIoUMetric``."""


@dataclass(frozen=True)
class Cell:
    """A score of a group: the mean over its runs, and over the paired differences.

    Args:
        mean: The mean, or None if no run has the score.
        spread: Sample standard deviation over the runs, None for a single one.
        difference: Mean of the differences to the baseline, run by run, or None.
        difference_spread: Their sample standard deviation.
        each: The difference of each pair, by seed.
        count: Number of runs that have the score.
    """

    mean: float | None = None
    spread: float | None = None
    difference: float | None = None
    difference_spread: float | None = None
    each: Mapping[int, float] | None = None
    count: int = 0


def make_cell(values: dict[int, float], baseline: dict[int, float] | None) -> Cell:
    """Summarize a score over the runs of a group.

    Args:
        values: The score of each run that has it, by seed.
        baseline: The score of the baseline's runs; None for the baseline itself.
    """
    if not values:
        return Cell()
    mean, spread = mean_and_spread(values.values())
    each = paired_difference(values, baseline or {})
    if not each:
        return Cell(mean, spread, count=len(values))
    return Cell(mean, spread, *mean_and_spread(each.values()), each, len(values))


def select(metrics: Mapping[int, Metrics], name: str) -> dict[int, float]:
    """Return a score of each run that has it.

    Args:
        metrics: Scores of each run, by seed.
        name: Name of the score.
    """
    found = {seed: of_run.get(name) for seed, of_run in metrics.items()}
    # nan is the score of a class that occurs nowhere.
    return {seed: value for seed, value in found.items() if value is not None and value == value}


def domains_of(metrics: Metrics) -> dict[str, list[str]]:
    """Return the classes of each domain that scores are of."""
    domains: dict[str, list[str]] = {}
    for key in metrics:
        domain, _, name = key.partition('/')
        if name.startswith('IoU.'):
            domains.setdefault(domain, []).append(name.removeprefix('IoU.'))
    return domains


def add_class_scores(
    metrics: Metrics, confusion: Mapping[str, np.ndarray] | None
) -> dict[str, float | None]:
    """Add accuracy and Dice of each class, which nobody logs.

    Dice follows from the IoU, 2 IoU / (1 + IoU); accuracy needs the confusion matrix.

    Args:
        metrics: Scores by name.
        confusion: Confusion matrix of each domain, if there is one.
    """
    result = dict(metrics)
    for domain, classes in domains_of(metrics).items():
        for name in classes:
            iou = metrics[f'{domain}/IoU.{name}']
            result[f'{domain}/Dice.{name}'] = None if iou is None else 200 * iou / (100 + iou)
        if confusion is not None:
            accuracy = class_scores(torch.from_numpy(confusion[domain]))['Acc'].tolist()
            for name, value in zip(classes, accuracy, strict=True):
                result[f'{domain}/Acc.{name}'] = value
    return result
