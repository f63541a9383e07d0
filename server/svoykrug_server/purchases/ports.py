"""What purchases needs of others; `app.py` wires it."""

from collections.abc import Callable
from typing import Protocol
from uuid import UUID

from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.errors import DomainError
from svoykrug_server.kit.wallet import WalletHolder
from svoykrug_server.storage.postgres import Transaction

WakeRelay = Callable[[], None]
"""Called after a commit that wrote to the ledger: the warehouse hears of it at once instead of at the next poll."""


class LedgerListener(Protocol):
    """Somebody whose work follows purchases and refunds."""

    async def written(self, tx: Transaction, outbox_id: int, entry_count: int) -> None:
        """Hears, in the transaction that writes them, which ledger rows are new; keeps the transaction short."""
        ...


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
