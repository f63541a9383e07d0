"""What the demo shows a person while she waits."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

# Tables stay readable where the output goes to a file and no terminal says how wide it is.
console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


class StepTimes:
    """How long each step took.

    Attributes:
        seconds: Seconds by the step's name, in the order of the steps.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measures a step and says what it is and, at its end, how long it took."""
        console.print(f"[bold cyan]▸[/] {name}")
        start = time.perf_counter()
        with bar(name, None):
            yield
        self.seconds[name] = round(time.perf_counter() - start, 3)
        console.print(f"  [dim]{self.seconds[name]:.2f} s[/]")


@contextmanager
def bar(description: str, total: float | None) -> Iterator[Callable[[int], None]]:
    """Shows a progress bar, inside another one if need be; yields a function that moves it on by a number of rows.

    Args:
        description: What is going on.
        total: How many rows there are; None for a bar that only shows that time passes.
    """
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(description, total=total)
        yield lambda rows: progress.advance(task, rows)
