"""Sessions and access tokens for tests of the features that end them: remembers whose were ended."""

from uuid import UUID

from svoykrug_server.kit.account import RevokeReason
from svoykrug_server.storage.postgres import Transaction


class RecordedRevocations:
    """Notes whose access tokens and whose sessions were ended."""

    def __init__(self) -> None:
        self.user_ids: list[UUID] = []
        self.ended: list[tuple[UUID, RevokeReason]] = []

    async def revoke_for_user(self, tx: Transaction, user_id: UUID) -> None:
        """Notes a user."""
        assert isinstance(tx, Transaction)
        self.user_ids.append(user_id)

    async def end(self, tx: Transaction, user_id: UUID, reason: RevokeReason, *, but: UUID | None = None) -> None:
        """Notes a user whose sessions end, and why; all of them."""
        assert isinstance(tx, Transaction)
        assert but is None
        self.ended.append((user_id, reason))
