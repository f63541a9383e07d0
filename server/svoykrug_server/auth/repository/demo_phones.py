"""All SQL about demo phones."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text

from svoykrug_server.auth.model import DemoPhone
from svoykrug_server.storage.postgres import ReadConnection, Transaction

_COLUMNS = "phone, code_hash, code_kid, create_time, expire_time"

# Which code does the phone have, while it is a demo phone?
_FIND = text(f"SELECT {_COLUMNS} FROM auth_demo_phones WHERE phone = :phone AND expire_time > :now")  # noqa: S608  constants only

# Which phones are or were demo phones?
_LISTED = f"SELECT {_COLUMNS} FROM auth_demo_phones ORDER BY create_time DESC, phone"  # noqa: S608  constants only

# Which code does the phone have from now on? (its first day stays)
_PUT = text(
    """
    INSERT INTO auth_demo_phones AS d (phone, code_hash, code_kid, create_time, expire_time)
    VALUES (:phone, :code_hash, :code_kid, :create_time, :expire_time)
    ON CONFLICT (phone) DO UPDATE SET
        code_hash = excluded.code_hash, code_kid = excluded.code_kid, expire_time = excluded.expire_time
    RETURNING create_time
    """
)

# Was it a demo phone until now?
_REMOVE = text("DELETE FROM auth_demo_phones WHERE phone = :phone")


async def find(tx: Transaction, phone: str, now: datetime) -> DemoPhone | None:
    """Returns a demo phone that has not expired, or None."""
    row = (await tx.execute(_FIND, {"phone": phone, "now": now})).mappings().one_or_none()
    return None if row is None else _demo_phone(row)


async def listed(connection: ReadConnection) -> Sequence[DemoPhone]:
    """Returns every demo phone, the newest first."""
    return tuple(_demo_phone(row) for row in await connection.fetch(_LISTED))


async def put(tx: Transaction, demo: DemoPhone) -> datetime:
    """Keeps a demo phone, and returns when it was first set."""
    parameters = {
        "phone": demo.phone,
        "code_hash": demo.code_hash,
        "code_kid": demo.code_kid,
        "create_time": demo.create_time,
        "expire_time": demo.expire_time,
    }
    create_time: datetime = (await tx.execute(_PUT, parameters)).scalar_one()
    return create_time


async def remove(tx: Transaction, phone: str) -> bool:
    """Takes a demo phone away; tells whether it was one."""
    return (await tx.execute(_REMOVE, {"phone": phone})).rowcount > 0


def _demo_phone(row: Any) -> DemoPhone:
    return DemoPhone(row["phone"], row["code_hash"], row["code_kid"], row["create_time"], row["expire_time"])
