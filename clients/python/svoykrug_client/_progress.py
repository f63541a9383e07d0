"""A progress bar on the terminal; it needs the extra `progress`."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)


class ProgressBar:
    """A bar on the terminal.

    Args:
        progress: The display it is on.
        task: Which of its bars.
    """

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def restart(self) -> None:
        """Begins again from nothing."""
        self._progress.reset(self._task)

    def advance(self, rows: int) -> None:
        """Counts rows."""
        self._progress.advance(self._task, rows)


@contextmanager
def progress_bar(text: str, count: int | None) -> Iterator[ProgressBar]:
    """Shows a bar until the block ends.

    Args:
        text: What it stands before.
        count: What it counts to; None when that is not known.
    """
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, transient=True) as progress:
        yield ProgressBar(progress, progress.add_task(text, total=count))
