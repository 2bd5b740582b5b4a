"""How far a long loop over images is: a bar on a terminal, lines in a log."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

LINES = 20
"""Lines of a whole loop where the output is no terminal."""


@contextmanager
def progress_bar(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show progress, rate and the time that is left.

    Args:
        title: What is counted.
        total: How many there are.

    Yields:
        A function to be called with how many are done.
    """
    console = Console()
    columns = (
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(show_speed=True),
        TimeRemainingColumn(),
    )
    step, last = max(1, total // LINES), [0]
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task('', total=total)

        def update(done: int) -> None:
            bar.update(task, completed=done)
            if not console.is_terminal and done // step > last[0] // step:
                last[0] = done
                print(f'{title}: {done} of {total}', flush=True)

        yield update
