"""Bans that outlive an account: nobody joins or comes back with the number of somebody who was banned.

A deleted account says by its state that it is deleted, and an erased one says nothing any more: for both the ban is on
the number, as a keyed hash, until operators may have given the number to somebody else. `docs/decisions/bans.md`.
"""

import hmac
from datetime import datetime, timedelta
from uuid import UUID

from svoykrug_server.storage.postgres import Transaction
from svoykrug_server.storage.secrets import SecretName, Secrets
from svoykrug_server.users import number_ban_repository as repository


class NumberBans:
    """Bans numbers.

    Args:
        secrets: Holds the keys of the hashes.
        life: How long a number stays banned.
    """

    def __init__(self, secrets: Secrets, life: timedelta) -> None:
        self._secrets = secrets
        self._life = life

    async def add(self, tx: Transaction, user_id: UUID, phone: str, now: datetime) -> bool:
        """Bans the number of a user, and tells whether it was not banned before.

        Args:
            tx: The transaction of the ban, or of the erasure that a ban must outlive.
            user_id: The user.
            phone: Her number, E.164.
            now: The present instant; aware.
        """
        key = self._secrets.current(SecretName.NUMBER_BAN).value
        return await repository.add(tx, user_id, _hash(key, phone), now + self._life)

    async def banned_user_id(self, tx: Transaction, phone: str, now: datetime) -> UUID | None:
        """Returns whose ban keeps a number in E.164 out, or None."""
        hashes = [_hash(secret.value, phone) for secret in self._secrets.all(SecretName.NUMBER_BAN)]
        return await repository.find(tx, hashes, now)

    async def stands(self, tx: Transaction, user_id: UUID, now: datetime) -> bool:
        """Tells whether the number of a user is banned."""
        return await repository.stands(tx, user_id, now)

    async def lift(self, tx: Transaction, user_id: UUID) -> bool:
        """Lifts the ban of a user's number, also of one who is erased, and tells whether there was one."""
        return await repository.lift(tx, user_id)

    async def forget(self, tx: Transaction, now: datetime) -> None:
        """Deletes the bans that are over."""
        await repository.forget(tx, now)


def _hash(key: bytes, phone: str) -> bytes:
    return hmac.digest(key, phone.encode(), "sha256")
