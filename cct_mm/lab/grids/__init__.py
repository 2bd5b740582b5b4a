"""Grids of experiments: methods x axes x seeds, resumable, a record per run and one table.

- ``grid``: reads a grid file into runs.
- ``identity``: what a result depends on (config, code, data), so that an old one is noticed.
- ``record``: what one finished run leaves behind.
- ``jobs``: the runs as they are on disk, and whether they still hold.
- ``guards``: one runner a folder, signals that wait for their turn.
- ``runner``: trains and evaluates the runs, several at a time.
- ``run_progress``: how far each of them is, and the time left.
- ``node``: what a launcher starts in front of a run, to tell the machine that it has chosen.
- ``forecast``: what would be run and how long that takes, without running it.
- ``table``: mean, spread and paired difference as Markdown.
- ``summary``: the same with every seed, as the docs keep it.
- ``published``: the rows that the docs keep: their runs, and what has changed since.
- ``verify``: repeats one seed of such a row and compares.
- ``screen``: what the command shows while a grid runs, and writes at its end.
"""

from .grid import Grid, GridError, Run, load_grid
from .jobs import Job
from .runner import run_grid
from .summary import make_summary
from .table import make_table

__all__ = ['Grid', 'GridError', 'Job', 'Run', 'load_grid', 'make_summary', 'make_table', 'run_grid']
