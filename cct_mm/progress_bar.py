"""How far a long loop over files is: a bar on a terminal, lines in a log."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

LINES = 20
"""Lines of a whole loop where the output is no terminal."""


class _Rate(ProgressColumn):
    """How many files a second."""

    def render(self, task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f'{speed:.0f}/s' if speed else '')


@contextmanager
def progress_bar(
    title: str, total: int, patience: float = 0.0, stderr: bool = False
) -> Iterator[Callable[[int], None]]:
    """Show progress, rate and the time that is left.

    Args:
        title: What is counted.
        total: How many there are.
        patience: Seconds after which something is shown: what takes less is not worth a line.
        stderr: Whether it goes to stderr, for tools whose stdout is a result.

    Yields:
        A function to be called with how many are done.
    """
    console = Console(stderr=stderr)
    columns = (
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(),
        _Rate(),
        TimeRemainingColumn(),
    )
    step, last = max(1, total // LINES), [0]
    start = time.monotonic()
    bar = Progress(*columns, console=console, disable=not console.is_terminal)
    task = bar.add_task('', total=total)

    def update(done: int) -> None:
        bar.update(task, completed=done)
        if time.monotonic() - start < patience:
            return
        if console.is_terminal:
            bar.start()
        elif done // step > last[0] // step:
            last[0] = done
            print(f'{title}: {done} of {total}', file=console.file, flush=True)

    try:
        update(0)
        yield update
    finally:
        bar.stop()
