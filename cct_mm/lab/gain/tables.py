"""The tables of an analysis, as records that ``docs/tables.py`` shows."""

import datetime
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from .measure import Values


@dataclass(frozen=True)
class Measured:
    """What was measured of one domain at one checkpoint; means over batches.

    Args:
        domain: Name of the domain.
        iteration: Iterations that the checkpoint has been trained.
        batches: How many of the domain there were.
        stages: See :meth:`.measure.GradientMeans.values`.
        kinds: See :func:`.measure.perturbations`.
    """

    domain: str
    iteration: int
    batches: int
    stages: Values
    kinds: Values


GRADIENTS = ('stage', '|grad L_s|', '|grad w_u L_u|', 'ratio', 'cosine of means')
TRUTH = ('|grad of the truth|', 'cosine of L_s and truth', 'cosine of L_u and truth')
PERTURBATIONS = ('perturbation', 'size', 'distance', 'gap', 'distance / gap')


def records(measured: Sequence[Measured], command: str) -> dict[str, dict]:
    """Return the tables by name, with the numbers in full beside them.

    Args:
        measured: Of each checkpoint and domain.
        command: What has made them.
    """
    common = {'command': command, 'date': datetime.date.today().isoformat()}
    known = any('truth' in values for values in measured[0].stages.values())
    header = GRADIENTS + (TRUTH if known else ())
    tables = {
        'gradients': (header, [(m, m.stages, _gradient_cells) for m in measured]),
        'perturbations': (PERTURBATIONS, [(m, m.kinds, _perturbation_cells) for m in measured]),
    }
    several = len({one.domain for one in measured}) > 1
    return {
        name: {
            **common,
            'header': ['iteration', *(['domain'] if several else []), *header],
            'cells': [line for each in parts for line in _lines(*each, several)],
            'note': _note(measured),
            'values': [
                {'iteration': m.iteration, 'domain': m.domain, 'batches': m.batches, 'rows': rows}
                for m, rows, _ in parts
            ],
        }
        for name, (header, parts) in tables.items()
    }


def _note(measured: Sequence[Measured]) -> str:
    counts = {one.domain: one.batches for one in measured}
    of_each = ', '.join(f'{count} batches of {domain}' for domain, count in counts.items())
    return f'Means over {of_each}.'


def _lines(
    measured: Measured, rows: Values, cells: Callable[..., list[str]], several: bool
) -> Iterator[list[str]]:
    for name, values in rows.items():
        domain = [measured.domain] if several else []
        yield [str(measured.iteration), *domain, name, *cells(**values)]


def _gradient_cells(
    labeled: float, unlabeled: float, cosine: float, truth: float | None = None, **cosines: float
) -> list[str]:
    cells = [f'{labeled:.3g}', f'{unlabeled:.3g}', _ratio(unlabeled, labeled), f'{cosine:+.3f}']
    if truth is not None:
        cells += [f'{truth:.3g}', *(f'{value:+.3f}' for value in cosines.values())]
    return cells


def _perturbation_cells(size: float, distance: float, gap: float) -> list[str]:
    return [f'{size:.3f}', f'{distance:.2g}', f'{gap:.2g}', _ratio(distance, gap)]


def _ratio(one: float, other: float) -> str:
    return f'{one / other:.2g}' if other else '–'
