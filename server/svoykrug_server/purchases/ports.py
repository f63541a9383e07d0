"""What purchases needs of others; `app.py` wires it."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol
from uuid import UUID

from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.errors import DomainError
from svoykrug_server.kit.wallet import WalletHolder
from svoykrug_server.storage.postgres import Transaction

WakeRelay = Callable[[], None]
"""Called after a commit that wrote to the ledger: the warehouse hears of it at once instead of at the next poll."""

LedgerFollower = str
"""What somebody whose work follows purchases and refunds does in the statement that appends an outbox entry.

SQL that selects `outbox_id` and `entry_count` of the entry from `appended`, and is quick.
"""


class WalletCodes(Protocol):
    """The codes that members show at a business."""

    async def find(self, tx: Transaction, caller: Caller, typed_code: str) -> WalletHolder | DomainError | None:
        """Returns whose code it is, so that nobody else uses it before the transaction ends.

        Returns:
            The holder; None when it is no one's; or the refusal of a caller who guessed too often.
        """
        ...

    async def use(self, tx: Transaction, holder: WalletHolder) -> None:
        """Uses a found code up."""
        ...

    async def refuse(self, tx: Transaction, caller: Caller, business_id: UUID) -> DomainError:
        """Counts a wrong guess and returns the refusal, which is raised once the transaction is committed."""
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
            kind: Which work function runs it, such as `import_csv`.
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
