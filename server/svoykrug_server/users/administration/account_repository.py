"""The SQL of changes that admins make to accounts."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from svoykrug_server.storage.postgres import Transaction, driver_error
from svoykrug_server.users import repository

_PHONE_KEY = "users_phone_key"

# Does a demo phone's code open this account?
_DEMO = text("SELECT demo FROM users WHERE id = :user_id")


class PhoneTaken(Exception):
    """Another user has this phone."""


async def is_demo(tx: Transaction, user_id: UUID) -> bool:
    """Tells whether a locked user signs in by a demo phone."""
    return bool((await tx.execute(_DEMO, {"user_id": user_id})).scalar())


async def change(tx: Transaction, user_id: UUID, values: Mapping[str, object], now: datetime) -> None:
    """Writes new values of some columns of a locked user, and the next version.

    Raises:
        PhoneTaken: Somebody got the new phone at the same moment; the transaction is over.
    """
    try:
        await repository.change(tx, user_id, values, now)
    except IntegrityError as error:
        if getattr(driver_error(error), "constraint_name", None) == _PHONE_KEY:
            raise PhoneTaken from error
        raise
