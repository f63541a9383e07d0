"""Tells of ledger rows: the warehouse by the outbox, listeners in the same transaction, the relay after the commit."""

from datetime import datetime
from uuid import UUID

from svoykrug_server.purchases.ports import LedgerListener, WakeRelay
from svoykrug_server.storage import outbox
from svoykrug_server.storage.postgres import Transaction


class Announcer:
    """Tells everybody whose work follows the ledger; whoever writes to the ledger calls it.

    Args:
        listener: Hears of new rows within their transaction.
        wake_relay: Called after each commit that wrote something.
    """

    def __init__(self, listener: LedgerListener, wake_relay: WakeRelay) -> None:
        self._listener = listener
        self._wake_relay = wake_relay

    async def written(
        self, tx: Transaction, outbox_id: int, business_id: UUID, entry_count: int, now: datetime
    ) -> None:
        """Says which ledger rows this transaction has written: `entry_count` rows, 1 or more, with `outbox_id`."""
        await outbox.append(tx, outbox_id, business_id, entry_count, now)
        await self._listener.written(tx, outbox_id, entry_count)

    def committed(self) -> None:
        """Says that the transaction is committed: the warehouse hears of it at once instead of at the next poll."""
        self._wake_relay()
