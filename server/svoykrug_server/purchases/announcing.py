"""Tells of ledger rows: the warehouse by the outbox, a follower in the same statement, the relay after the commit."""

from datetime import datetime
from uuid import UUID

from svoykrug_server.purchases.ports import LedgerFollower, WakeRelay
from svoykrug_server.storage import outbox
from svoykrug_server.storage.postgres import Transaction


class Announcer:
    """Tells everybody whose work follows the ledger; whoever writes to the ledger calls it.

    Args:
        follower: What is done with each outbox entry, in the statement that appends it.
        wake_relay: Called after each commit that wrote something.
    """

    def __init__(self, follower: LedgerFollower, wake_relay: WakeRelay) -> None:
        self._follower = follower
        self._wake_relay = wake_relay

    async def written(
        self, tx: Transaction, outbox_id: int, business_id: UUID, entry_count: int, now: datetime
    ) -> None:
        """Says which ledger rows this transaction has written: `entry_count` rows, 1 or more, with `outbox_id`."""
        await outbox.append(tx, self._follower, outbox_id, business_id, entry_count, now)

    def committed(self) -> None:
        """Says that the transaction is committed: the warehouse hears of it at once instead of at the next poll."""
        self._wake_relay()
