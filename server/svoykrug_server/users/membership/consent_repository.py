"""SQL about consents: what was said is never changed, only followed by what is said later."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import text

from svoykrug_server.storage.postgres import ReadConnection, Transaction
from svoykrug_server.users.membership.model import Consent
from svoykrug_server.users.model import ConsentKind

_LAST_SAID = """
    SELECT DISTINCT ON (kind) kind, document_version, granted, consent_time FROM user_consents
    WHERE user_id = {user_id} ORDER BY kind, id DESC
"""

# What did this user say last about each kind of consent? (committed; in a transaction)
_READ = _LAST_SAID.format(user_id="$1")
_IN_TRANSACTION = text(_LAST_SAID.format(user_id=":user_id"))


async def read(connection: ReadConnection, user_id: UUID) -> dict[ConsentKind, Consent]:
    """Returns the consents of a user as they stand, by kind."""
    return _by_kind(await connection.fetch(_READ, user_id))


async def standing(tx: Transaction, user_id: UUID) -> dict[ConsentKind, Consent]:
    """Returns the consents of a user as they stand in this transaction, by kind."""
    return _by_kind(await tx.execute(_IN_TRANSACTION, {"user_id": user_id}))


def _by_kind(rows: Iterable[Iterable[Any]]) -> dict[ConsentKind, Consent]:
    said = {ConsentKind(kind): (version, granted, time) for kind, version, granted, time in rows}
    return {kind: Consent(kind, *said[kind]) for kind in ConsentKind if kind in said}
