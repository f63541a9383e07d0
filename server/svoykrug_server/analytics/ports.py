"""What analytics needs of other parts, wired in `app.py`: proof that the warehouse is whole, and long work."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from svoykrug_server.storage.postgres import Transaction


class Watermarks(Protocol):
    """Knows how far the warehouse has followed the system of record."""

    async def watermark(self) -> datetime | None:
        """Returns up to when the warehouse is proven to hold everything; None before the first proof."""
        ...


class Disputes(Protocol):
    """Knows where the two stores disagree."""

    def undisputed(
        self, business_id: UUID | None, cutoff: datetime
    ) -> AbstractAsyncContextManager[Callable[[], Awaitable[None]]]:
        """Keeps the rows of a scope as they are while a block computes from them: nothing is repaired meanwhile.

        Args:
            business_id: The business; None for the circle.
            cutoff: Days that begin before it count.

        Returns:
            A context that gives the same question again, to be asked before what was computed is published: a day that
            was found to disagree meanwhile refuses it.

        Raises:
            Unavailable: STORES_DISAGREE, a day of the scope before the cutoff waits for repair.
            StoreUnavailable: PostgreSQL is away.
        """
        ...


class Operation(Protocol):
    """A piece of long work; what it holds besides its id is of no interest here."""

    @property
    def id(self) -> UUID:
        """Its id."""
        ...


class Operations(Protocol):
    """Starts long work."""

    async def start(self, tx: Transaction, kind: str, parameters: Mapping[str, Any], starter_id: UUID) -> Operation:
        """Queues work in a transaction: a worker sees it when that commits.

        Args:
            tx: The transaction.
            kind: Which work function runs it, such as `create_snapshot`.
            parameters: What the function is given on each attempt: JSON values.
            starter_id: Who asked for it.
        """
        ...

    async def find(self, tx: Transaction, operation_id: UUID) -> Operation:
        """Returns an operation known to exist, as a transaction sees it."""
        ...


class Progress(Protocol):
    """What a work function tells the world."""

    async def report(self, stage: str, percent: int, rows_done: int = 0) -> None:
        """Says how far the work is; raises to stop work that was taken over by another worker.

        Args:
            stage: What it is doing now, in one word.
            percent: How far all of it is, 0 to 100.
            rows_done: How many rows it has handled in this stage.
        """
        ...
