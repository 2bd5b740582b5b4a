"""The curves of a report: losses, learning rate, ramp-up, scores and distances of decoders."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from cct_mm.schedules import Progress, RampUp

from .figures import Curve, draw, make_curve
from .runs import Group, Run

DISTANCE = '.distance '
"""Stands between domain and kind of perturbation in the names of logged distances."""
NOT_DRAWN = {'iter', 'step', 'epoch', 'time', 'data_time', 'memory', 'lr', 'base_lr', 'eta'}
RAMPS = {'unsupervised_weight': 'w_u, the weight of L_u', 'weak_weight': 'w_w, the weight of L_w'}


@dataclass(frozen=True)
class Figure:
    """A figure with its caption.

    Args:
        caption: What it shows.
        svg: The picture.
        curves: Its lines by their names.
    """

    caption: str
    svg: Markup
    curves: dict[str, Curve]


@dataclass(frozen=True)
class Agreement:
    """How far the auxiliary decoders of a domain are from its main head.

    Args:
        domain: The domain.
        group: Title of the group.
        figure: Distance of each kind of perturbation over the iterations.
    """

    domain: str
    group: str
    figure: Figure


def figures_of_losses(groups: Sequence[Group]) -> list[Figure]:
    """Return a figure for each loss, the sum of all first."""
    names = _names(groups, 0, lambda name: 'loss' in name)
    names.sort(key=lambda name: name != 'loss')
    return _figures(groups, 0, names)


def figures_of_scores(groups: Sequence[Group]) -> list[Figure]:
    """Return a figure for the validated mean of each domain, and for the mean over domains."""
    names = _names(groups, 1, lambda name: name.endswith(('mIoU', 'mAP')))
    if len(names) == 2:
        # The mean over a single domain is that domain's.
        names = [name for name in names if '/' in name]
    return _figures(groups, 1, names)


def figures_of_rates(groups: Sequence[Group]) -> list[Figure]:
    """Return the learning rate, and the ramp-ups of weights, which follow from the config."""
    titles = [group.title for group in groups]
    # Where layers have rates of their own, lr is that of the first.
    rates = [_values(group, 0, 'base_lr') or _values(group, 0, 'lr') for group in groups]
    figures = [*_figure('learning rate', rates, titles)]
    for key, caption in RAMPS.items():
        ramps = [_ramp(group.first, key) for group in groups]
        figures += _figure(caption, [[ramp] if ramp else [] for ramp in ramps], titles)
    return figures


def figures_of_the_rest(groups: Sequence[Group]) -> list[Figure]:
    """Return a figure for each further value that training logs, such as accuracies."""

    def is_further(name: str) -> bool:
        return name not in NOT_DRAWN and 'loss' not in name and DISTANCE not in name

    return _figures(groups, 0, _names(groups, 0, is_further))


def agreements(groups: Sequence[Group]) -> list[Agreement]:
    """Return the distances of the auxiliary decoders for each domain and group that has some."""
    found = []
    names = _names(groups, 0, lambda name: DISTANCE in name)
    for domain in dict.fromkeys(name.partition(DISTANCE)[0] for name in names):
        own = [name for name in names if name.partition(DISTANCE)[0] == domain]
        kinds = [name.partition(DISTANCE)[2] for name in own]
        for group in groups:
            values = [_values(group, 0, name) for name in own]
            caption = f'{domain}, {group.title}: distance by perturbation'
            for figure in _figure(caption, values, kinds):
                found.append(Agreement(domain, group.title, figure))
    return found


def _ramp(run: Run, key: str) -> dict[int, float]:
    config = run.config.get('model', {}).get(key)
    length = run.config.get('train_cfg', {}).get('max_iters')
    if not config or not isinstance(length, int):
        return {}
    ramp = RampUp(**config)
    steps = sorted({round(i * (length - 1) / 100) for i in range(101)})
    return {step: ramp(Progress(step, length, 0)) for step in steps}


def _names(groups: Sequence[Group], kind: int, wanted: Callable[[str], bool]) -> list[str]:
    """Names of logged values of training (0) or validation (1), in the order of the log."""
    names: dict[str, None] = {}
    for group in groups:
        for run in group.runs:
            for line in run.scalars[kind].values():
                names.update(dict.fromkeys(line))
    return [name for name in names if wanted(name)]


def _values(group: Group, kind: int, name: str) -> list[dict[int, float]]:
    runs = []
    for run in group.runs:
        lines = run.scalars[kind]
        values = {
            step: line[name]
            for step, line in lines.items()
            if isinstance(line.get(name), (int, float)) and math.isfinite(line[name])
        }
        if values:
            runs.append(values)
    return runs


def _figures(groups: Sequence[Group], kind: int, names: Sequence[str]) -> list[Figure]:
    titles = [group.title for group in groups]
    return [
        figure
        for name in names
        for figure in _figure(name, [_values(group, kind, name) for group in groups], titles)
    ]


def _figure(
    caption: str, values: Sequence[list[dict[int, float]]], names: Sequence[str]
) -> Iterator[Figure]:
    """Yield a figure with a curve for each name that has values; none without any curve."""
    curves = {i: make_curve(runs, i) for i, runs in enumerate(values)}
    curves = {i: curve for i, curve in curves.items() if curve}
    if not curves:
        return
    ends = '; '.join(
        f'{names[i]} from {curve.values[0]:.4g} to {curve.values[-1]:.4g}'
        for i, curve in curves.items()
    )
    alternative = f'{caption} over the iterations: {ends}'
    svg = draw(list(curves.values()), alternative)
    yield Figure(caption, svg, {names[i]: curve for i, curve in curves.items()})
