"""What users needs of the other features; `app.py` wires them."""

from typing import Protocol
from uuid import UUID

from svoykrug_server.kit.account import RevokeReason
from svoykrug_server.storage.postgres import Transaction


class AccessTokens(Protocol):
    """The access tokens that are out there."""

    async def revoke_for_user(self, tx: Transaction, user_id: UUID) -> None:
        """Ends every access token of a user at once on all servers, when the transaction commits; sessions go on."""
        ...


class Sessions(AccessTokens, Protocol):
    """The sessions of people, and their access tokens."""

    async def end(self, tx: Transaction, user_id: UUID, reason: RevokeReason, *, but: UUID | None = None) -> object:
        """Ends a user's sessions at once on all servers, when the transaction commits: all, or all `but` one."""
        ...
