"""The crash matrix as a person reads it: a table for each component with a column for each step."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from rich.console import Console
from rich.table import Table

from tests.crash.matrix.steps import STEPS, Step
from tests.crash.matrix.work import Harm


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one run.

    Attributes:
        step: Where it was killed.
        hit: Whether the stores show that the kill landed there.
        harm: What was lost and doubled.
        healing_seconds: How long the next server, or the one whose store came back, took to finish, its start included.
    """

    step: Step
    hit: bool
    harm: Harm
    healing_seconds: float


def show(outcomes: Sequence[Outcome], console: Console) -> None:
    """Prints the outcomes."""
    console.print()
    for component in dict.fromkeys(step.component for step in STEPS):
        steps = [step for step in STEPS if step.component == component]
        table = Table(component, *(f"{step.words}\n[dim]{step.failpoint}[/]" for step in steps), show_lines=True)
        cells = [[each for each in outcomes if each.step is step] for step in steps]
        table.add_row("runs", *(f"{len(each)}" for each in cells))
        table.add_row("hit", *(f"{sum(run.hit for run in each)}" for each in cells))
        table.add_row("lost", *(f"{sum(run.harm.lost for run in each)}" for each in cells))
        table.add_row("doubled", *(f"{sum(run.harm.doubled for run in each)}" for each in cells))
        seconds = [f"{median(run.healing_seconds for run in each):.1f}" if each else "" for each in cells]
        table.add_row("whole again, s", *seconds)
        console.print(table)
    harm = sum((each.harm for each in outcomes), Harm())
    console.print(
        f"{len(outcomes)} runs, {sum(each.hit for each in outcomes)} hit: {harm.lost} lost, {harm.doubled} doubled"
    )
