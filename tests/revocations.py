"""Access tokens for tests of the features that end them: remembers whose were ended."""

from uuid import UUID

from svoykrug_server.storage.postgres import Transaction


class RecordedRevocations:
    """Notes whose access tokens were ended."""

    def __init__(self) -> None:
        self.user_ids: list[UUID] = []

    async def revoke_for_user(self, tx: Transaction, user_id: UUID) -> None:
        """Notes a user."""
        assert isinstance(tx, Transaction)
        self.user_ids.append(user_id)
