"""A report on trained runs: one HTML page that needs nothing else, of a run or a comparison.

- ``runs``: reads work dirs and the folders of grids.
- ``evaluation``: evaluates the last checkpoint of a run, once.
- ``agreement``: whether the auxiliary decoders name the class that the main head names.
- ``scores``, ``settings``, ``curves``, ``pictures``: what the page shows, and ``tables`` and
  ``figures`` in which form.
- ``page``: puts it into ``template.html.j2``.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path

from cct_mm.engine.checkpoints.files import require_writable
from cct_mm.files import write_atomically

from .runs import Group, ReportError, Run, read_groups

__all__ = ['ReportError', 'write_report']


def write_report(
    work_dirs: Sequence[str | Path],
    out: str | Path,
    split: str | None = None,
    baseline: str | None = None,
) -> Path:
    """Write the report of a run, of several, or of a grid.

    The last checkpoint of each run is evaluated where nobody has done so; the result is kept in
    ``report/`` of its work dir, so that the next call is fast.

    Args:
        work_dirs: Work dirs of ``tools/train.py``, or folders of ``tools/run_experiments.py``.
        out: The HTML file.
        split: ``'val'`` or ``'test'``. None means what a grid has been evaluated on, and otherwise
            ``'val'``: test images are for the end.
        baseline: See :func:`~cct_mm.lab.report.runs.read_groups`.

    Returns:
        Path: ``out``.

    Raises:
        ReportError: If a folder is no run and no grid, or there is no such baseline.
        CheckpointError: If nothing can be written where ``out`` is to be.
    """
    # Before minutes of evaluation.
    require_writable(Path(out).absolute().parent, '--out')
    groups = read_groups(work_dirs, baseline)
    if split is None:
        records = [run.record for group in groups for run in group.runs]
        split = next((record['split'] for record in records if record), 'val')
    split, _, averaged = split.partition('+')
    # They import matplotlib, jinja2 and mmseg, which take seconds: bad input is refused before.
    from .page import render
    from .tables import Measured

    notes: list[str] = []
    if averaged:
        notes.append(
            f'The grid was evaluated as {split}+{averaged}, averaged over scales and flips. '
            'Its own table has these scores; this page is of the images as they are.'
        )
    measured = [Measured(group, *_measure(group, split, notes)) for group in groups]
    write_atomically(out, render(measured, split, notes, _command(work_dirs, out, split, baseline)))
    return Path(out)


def _measure(group: Group, split: str, notes: list[str]):
    """Return the scores of a group's runs by seed, and the evaluation of the first."""
    metrics, first = {}, None
    for run in group.runs:
        known = run.known_metrics(split)
        if run is group.first or not known:
            evaluation = _evaluate(run, split, notes)
            if run is group.first:
                first = evaluation
            known = evaluation.metrics if evaluation else known
        if known:
            metrics[run.seed] = known
    return metrics, first


def _evaluate(run: Run, split: str, notes: list[str]):
    from .evaluation import evaluate

    try:
        return evaluate(run, split)
    # Whatever its code, data or weights raise: the page shows the rest, and says what is missing.
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        notes.append(
            f'{run.folder} was not evaluated on {split}, so its confusion matrix and pictures are '
            f'missing: {reason}'
        )
        return None


def _command(
    work_dirs: Sequence[str | Path], out: str | Path, split: str, baseline: str | None
) -> str:
    options = ['--out', str(out), '--split', split, *(['--baseline', baseline] if baseline else [])]
    return shlex.join(['python', 'tools/report.py', *map(str, work_dirs), *options])
