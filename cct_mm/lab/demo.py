"""What the demo shows beside its report: the gain, how much it spreads, and a picture."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from cct_mm.visualization import colorize, sheet

from .grids.table import mean_and_spread, paired_difference
from .report.evaluation import Evaluation
from .report.pictures import ERROR_COLORS, error_map

SCALE = 3
"""Factor by which images and label maps are enlarged."""


def gain_sentence(run: Mapping[str, float], record: Mapping) -> str:
    """Say what CCT gained in one run, and over the seeds of a record.

    Args:
        run: mIoU of each method in the run, in percent.
        record: See :func:`~cct_mm.lab.grids.make_summary`.
    """
    over = {row['method']: row['mIoU'] for row in record['rows']}
    gains = list(paired_difference(over['cct'], over['supervised']).values())
    mean, spread = mean_and_spread(gains)
    return (
        f'The unlabeled images gave {run["cct"] - run["supervised"]:+.2f} mIoU in this run. Over '
        f'{len(gains)} seeds they gave {mean:+.2f} ± {spread:.2f}, from {min(gains):+.2f} to '
        f'{max(gains):+.2f} (commit {record["commit"]}).'
    )


def make_picture(evaluations: Mapping[str, Evaluation]) -> np.ndarray:
    """Return a picture of what each method predicts and gets wrong, beside image and truth.

    Args:
        evaluations: Method -> evaluation of its run, the baseline first.

    Returns:
        np.ndarray: [H, W, 3], RGB, uint8.
    """
    baseline = next(iter(evaluations.values()))
    titles = ['image', 'truth']
    for name, evaluation in evaluations.items():
        errors = (
            'red: wrong'
            if evaluation is baseline
            else 'blue: corrected, orange: still wrong, red: new'
        )
        titles += [f'{name}, mIoU {evaluation.metrics["mIoU"]:.1f}', errors]
    rows = []
    for pictures in zip(*(one.pictures for one in evaluations.values()), strict=True):
        first = pictures[0]
        palette = baseline.domains[first.domain]['palette']
        row = [_enlarge(first.image, cv2.INTER_CUBIC), _paint(first.truth, palette)]
        for one in pictures:
            errors = error_map(one, None if one is first else first, len(palette))
            row += [_paint(one.prediction, palette), _paint(errors, ERROR_COLORS)]
        rows.append(row)
    return sheet(rows, titles, scale=1)


def _paint(labels: np.ndarray, palette: Sequence[Sequence[int]]) -> np.ndarray:
    return _enlarge(colorize(labels, palette), cv2.INTER_NEAREST)


def _enlarge(picture: np.ndarray, interpolation: int) -> np.ndarray:
    return cv2.resize(picture, None, fx=SCALE, fy=SCALE, interpolation=interpolation)
