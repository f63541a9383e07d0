"""Users as admins and services read them."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from svoykrug_server.kit.account import AccountStatus
from svoykrug_server.kit.caller import Caller
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.users import repository
from svoykrug_server.users.model import User, mask_phone

READ_PHONE_SCOPE = "users.read_phone"
"""A service without this scope sees phones masked."""


class UserReading:
    """Reads users whose ids are known.

    Args:
        postgres: The system of record.
    """

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def get_users(self, caller: Caller, user_ids: Sequence[UUID]) -> tuple[User, ...]:
        """Returns the users that exist, in the order asked for; one asked for twice comes twice.

        A service gets no deleted users, and without the scope `users.read_phone` it gets the phones masked.
        """
        async with self._postgres.read() as connection:
            found = await repository.get_all(connection, user_ids)
        shown = {user.id: as_seen_by(caller, user) for user in found if is_shown_to(caller, user)}
        return tuple(shown[user_id] for user_id in user_ids if user_id in shown)


def is_shown_to(caller: Caller, user: User) -> bool:
    """Tells whether a caller who may read users may know of this one: a deleted user is shown to people alone."""
    return not caller.is_service or user.status is not AccountStatus.DELETED


def as_seen_by(caller: Caller, user: User) -> User:
    """Returns a user as the caller may see her: with her phone masked for a service that may not read phones."""
    if may_read_phones(caller):
        return user
    return replace(user, phone=mask_phone(user.phone or ""))


def may_read_phones(caller: Caller) -> bool:
    """Tells whether a caller may know phones: a person who may read users, and a service with the scope for it."""
    return not caller.is_service or READ_PHONE_SCOPE in caller.scopes
