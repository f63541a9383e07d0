"""The moments of an import at which the server is killed, and what each kill must have left behind."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from rich.console import Console
from rich.table import Table

from tests.crash.own_rows import BATCH_ROWS
from tests.crash.stores_seen import Pipeline


class Step(Enum):
    """A named step of the server, with the failpoint that lies there."""

    BEFORE_FIRST_COMMIT = "stream open, nothing committed", "import.between_batches"
    INSIDE_TRANSACTION = "inside a batch's transaction", "import.batch_written"
    AFTER_COMMIT = "right after a batch's commit", "import.batch_committed"
    BETWEEN_BATCHES = "between two batches", "import.between_batches"
    CLAIMED = "inside a seal's transaction", "relay.claimed"
    SEALED = "sealed, not inserted", "relay.sealed"
    INSERTED = "inserted, not marked shipped", "relay.inserted"
    SHIPPED = "marked shipped", "relay.shipped"

    @property
    def words(self) -> str:
        """What the step is called in the table."""
        return self.value[0]

    @property
    def failpoint(self) -> str:
        """The place in the server."""
        return self.value[1]

    @property
    def in_relay(self) -> bool:
        """Whether the relay is killed, and not the writing of a batch."""
        return self.failpoint.startswith("relay.")


@dataclass(frozen=True, slots=True)
class Moment:
    """When to kill.

    Attributes:
        step: Where.
        times: At which coming there: counted in batches that are new, or in sealed ones.
    """

    step: Step
    times: int

    def armed(self, known_batches: int) -> str:
        """Returns the setting that kills at this moment of a stream that begins with batches sent before."""
        counts_new = not self.step.in_relay and self.step is not Step.BEFORE_FIRST_COMMIT
        return f"{self.step.failpoint}:{self.times + (known_batches if counts_new else 0)}"

    def committed_batches(self, before: int, known_batches: int, sent_batches: int) -> int:
        """Returns how many batches PostgreSQL must hold after the kill.

        Args:
            before: How many it held before.
            known_batches: How many batches earlier streams were to send.
            sent_batches: How many this stream sends.
        """
        if self.step is Step.BEFORE_FIRST_COMMIT:
            return before
        if self.step.in_relay:
            return sent_batches
        return known_batches + self.times - (0 if self.step is Step.AFTER_COMMIT else 1)


@dataclass(frozen=True, slots=True)
class Death:
    """What a kill left behind.

    Attributes:
        moment: When it was.
        stream_open: Whether the client had begun its stream, had not ended it, and was told that the connection broke.
        left: How far the rows had come.
        copied_rows: How many rows ClickHouse held; None when the relay was not concerned.
    """

    moment: Moment
    stream_open: bool
    left: Pipeline
    copied_rows: int | None

    def check(self, committed_batches: int) -> None:
        """Asserts that the kill landed at its moment."""
        assert self.stream_open
        assert self.left.committed_rows == committed_batches * BATCH_ROWS
        if self.moment.step.in_relay:
            unshipped = self.moment.step in (Step.SEALED, Step.INSERTED)
            assert self.left.unshipped_batches == (1 if unshipped else 0)
            in_clickhouse = self.left.shipped_rows if self.moment.step is Step.SEALED else self.left.sealed_rows
            assert self.copied_rows == in_clickhouse


def show(deaths: Sequence[Death], console: Console) -> None:
    """Prints what each kill left behind, and how many kills each step had."""
    table = Table("kill", "step", "stream", "sealed, unshipped", "in PostgreSQL", "sealed rows", "in ClickHouse")
    for number, death in enumerate(deaths, 1):
        left, copied = death.left, "" if death.copied_rows is None else f"{death.copied_rows:,}"
        counts = (f"{left.unshipped_batches}", f"{left.committed_rows:,}", f"{left.sealed_rows:,}", copied)
        table.add_row(f"{number}", death.moment.step.words, "open" if death.stream_open else "-", *counts)
    counted = Table("step", "failpoint", "kills")
    for step, kills in kills_by_step(deaths).items():
        counted.add_row(step.words, step.failpoint, f"{kills}")
    console.print()
    console.print(table)
    console.print(counted)


def kills_by_step(deaths: Sequence[Death]) -> Counter[Step]:
    """Returns how many kills each step had."""
    return Counter(death.moment.step for death in deaths)
