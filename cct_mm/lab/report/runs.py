"""Work dirs as a report reads them: runs, and the groups of runs that it compares."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mmengine.config import Config

from cct_mm.lab.grids.grid import SPLITS
from cct_mm.lab.grids.record import last_checkpoint, read_json, read_scalars, result_file
from cct_mm.lab.grids.table import is_baseline_of

BASELINE = 'supervised'
"""The method of a grid that the others are compared with, if nobody names one."""


class ReportError(ValueError):
    """Say what keeps a report from being made, and what to do."""


@dataclass(frozen=True)
class Run:
    """One training, read from its work dir as far as it is there.

    Args:
        folder: Work dir of the training.
        seed: Its seed in a grid, by which runs of two methods are paired; 0 for a run of its own.
        record: What a grid keeps of it, see :func:`cct_mm.lab.grids.record.make_record`.
    """

    folder: Path
    seed: int = 0
    record: dict | None = None

    @cached_property
    def config_file(self) -> Path | None:
        """The whole config that the last session was started with.

        A test leaves its config, too, but no logged values beside it.
        """
        files = sorted(self.folder.glob('*/vis_data/config.py'))
        sessions = [file for file in files if (file.parent / 'scalars.json').is_file()] or files
        dumped = sorted(self.folder.glob('*.py'), key=lambda path: path.stat().st_mtime)
        return (sessions or dumped or [None])[-1]

    @cached_property
    def config(self) -> Config:
        """That config; an empty one where there is none or it cannot be read."""
        try:
            # The modules that it imports may not be here; for reading nobody needs them.
            return Config.fromfile(self.config_file, import_custom_modules=False)
        # A config is Python, which can raise anything.
        except Exception:
            return Config()

    @cached_property
    def scalars(self) -> tuple[dict[int, dict], dict[int, dict]]:
        """Logged values of training and of validation by iteration, of all sessions together."""
        return read_scalars(self.folder)

    @cached_property
    def checkpoint(self) -> Path | None:
        """The newest whole checkpoint."""
        return last_checkpoint(self.folder)

    @property
    def sessions(self) -> int:
        """How many times the training was started or resumed."""
        return len(list(self.folder.glob('*/vis_data/scalars.json')))

    @property
    def last_iteration(self) -> int:
        """The last iteration that was logged."""
        return max((max(lines) for lines in self.scalars if lines), default=0)

    def known_metrics(self, split: str) -> dict[str, float | None]:
        """Return what others have measured at the end of the training; {} if nobody has.

        Args:
            split: ``'val'`` or ``'test'``.
        """
        evaluated = read_json(self.folder.parent / f'evaluation_{split}' / 'metrics.json')
        if evaluated and self.record:
            return evaluated
        _, validation = self.scalars
        if split == 'val' and self.last_iteration in validation:
            return dict(validation[self.last_iteration])
        return {}


@dataclass(frozen=True)
class Group:
    """The runs of one method at one point of a grid's axes, or a single run.

    Args:
        title: What the report calls it.
        method: Name of the method.
        runs: One for each seed.
        axes: The point.
    """

    title: str
    method: str
    runs: tuple[Run, ...]
    axes: dict[str, Any] = field(default_factory=dict)

    @property
    def first(self) -> Run:
        """The run that stands for all where the report shows one."""
        return self.runs[0]


def read_groups(work_dirs: Sequence[str | Path], baseline: str | None = None) -> list[Group]:
    """Read work dirs of trainings and folders of grids; the baseline comes first.

    Args:
        work_dirs: Work dirs of ``tools/train.py``, or folders of ``tools/run_experiments.py``.
        baseline: Name of a method or one of the work dirs; None means the first work dir, and in a
            grid the method ``supervised``, or else the first by name.

    Raises:
        ReportError: If a folder is neither, or nothing is called like the baseline.
    """
    titles = _short_names([Path(folder).resolve() for folder in work_dirs])
    alone = len(work_dirs) == 1
    found = [_groups_of(Path(d), title, alone) for d, title in zip(work_dirs, titles, strict=True)]
    groups = [group for part in found for group in part]
    if baseline is None:
        first = [group.method for group in found[0]]
        baseline = BASELINE if BASELINE in first else first[0]
    chosen = [g for g in groups if baseline in (g.method, g.title) or _names(baseline, g)]
    if not chosen:
        raise ReportError(
            f'--baseline {baseline}: no such run or method, expected one of '
            f'{", ".join(dict.fromkeys(group.method for group in groups))}'
        )
    return chosen + [group for group in groups if group not in chosen]


def baseline_of(group: Group, groups: Sequence[Group]) -> Group | None:
    """Return what a group is compared with: the baseline at its point; None for a baseline.

    Args:
        group: The group.
        groups: All groups, the baseline first.
    """
    for other in groups:
        same_method = other.method == groups[0].method
        if same_method and is_baseline_of(other.axes, group.axes):
            return None if other is group else other
    return None


def _is_run(folder: Path) -> bool:
    return any(next(folder.glob(name), None) for name in ('*/vis_data/scalars.json', '*.pth'))


def _groups_of(folder: Path, title: str, alone: bool) -> list[Group]:
    if _is_run(folder):
        return [Group(title, title, (Run(folder),))]
    if _is_run(folder / 'train'):
        return [Group(title, title, (Run(folder / 'train', record=_record(folder)),))]
    found: dict[str, list[Run]] = {}
    for child in folder.glob('*_seed*'):
        match = re.fullmatch(r'(.+)_seed(\d+)', child.name)
        if match and _is_run(child / 'train'):
            run = Run(child / 'train', int(match[2]), _record(child))
            found.setdefault(match[1], []).append(run)
    if not found:
        raise ReportError(
            f'{folder} holds no training, expected the work dir of one (of tools/train.py, with '
            '*/vis_data/scalars.json or checkpoints in it) or the folder of a grid (of '
            'tools/run_experiments.py); check the path'
        )
    return [
        _group(name, runs, '' if alone else f'{title}/') for name, runs in sorted(found.items())
    ]


def _group(name: str, runs: list[Run], prefix: str) -> Group:
    """Make a group of a grid's runs; what the name stands for is in the records of finished ones.

    Args:
        name: Name of the runs' folders, without the seed.
        runs: The runs.
        prefix: What tells it from those of other grids.
    """
    record = next((run.record for run in runs if run.record), {'method': name, 'axes': {}})
    point = ', '.join(f'{axis}={value}' for axis, value in record['axes'].items())
    title = prefix + record['method'] + (f' ({point})' if point else '')
    ordered = tuple(sorted(runs, key=lambda run: run.seed))
    return Group(title, record['method'], ordered, record['axes'])


def _record(folder: Path) -> dict | None:
    records = (read_json(folder / result_file(split)) for split in SPLITS)
    return next((record for record in records if record), None)


def _names(baseline: str, group: Group) -> bool:
    path = Path(baseline).resolve()
    return path in (group.first.folder.resolve(), group.first.folder.resolve().parent)


def _short_names(folders: Sequence[Path]) -> list[str]:
    """Name folders by as few last parts of their paths as tell them apart."""
    for count in range(1, max(len(folder.parts) for folder in folders)):
        names = ['/'.join(folder.parts[-count:]) for folder in folders]
        if len(set(names)) == len(names):
            return names
    raise ReportError(
        f'{", ".join(map(str, folders))}: a folder is named twice, expected each once; remove one'
    )
