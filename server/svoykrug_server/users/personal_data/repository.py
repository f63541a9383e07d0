"""SQL of erasures, and of whatever the features declared about a person."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text

from svoykrug_server.storage.personal_data import (
    Change,
    Delete,
    Person,
    PersonalRows,
    Rewrite,
    Store,
    WarehouseRows,
    bound,
)
from svoykrug_server.storage.postgres import ReadConnection, Transaction
from svoykrug_server.storage.warehouse import Warehouse
from svoykrug_server.users.personal_data.model import DueErasure, ErasedTable, Erasure, ErasureState

_COLUMNS = "id, state, request_time, erase_time, done_time, tables::text AS tables"

# What became of this erasure?
_GET = f"SELECT {_COLUMNS} FROM erasures WHERE id = $1"  # noqa: S608 - constants only

# Is this user to be erased, and will nobody else decide on that before this transaction ends?
_LOCK_OPEN = text(f"SELECT {_COLUMNS} FROM erasures WHERE user_id = :user_id FOR UPDATE")  # noqa: S608 - constants only

# Who is to be erased when?
_ADD = text(
    """
    INSERT INTO erasures (id, user_id, state, request_time, erase_time, next_attempt_time)
    VALUES (:id, :user_id, :state, :now, :erase_time, :erase_time)
    """
)

# Is this erasure to begin at once, without a way back?
_HASTEN = text("UPDATE erasures SET state = 'running', erase_time = :now, next_attempt_time = :now WHERE id = :id")

# Is this erasure taken back?
_CANCEL = text("UPDATE erasures SET state = 'cancelled', user_id = NULL WHERE id = :id")

# Which erasure is due, and is it ours for a while? (the wait until the next attempt doubles with each)
_CLAIM = text(
    """
    UPDATE erasures SET state = 'running', attempt_count = attempt_count + 1,
        next_attempt_time = :now + least(
            CAST(:longest_wait AS interval), CAST(:first_wait AS interval) * (2 ^ least(attempt_count, 20))
        )
    WHERE id = (
        SELECT id FROM erasures WHERE state IN ('scheduled', 'running') AND next_attempt_time <= :now
        ORDER BY next_attempt_time LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    RETURNING id, attempt_count, user_id,
        (SELECT phone FROM users WHERE users.id = erasures.user_id) AS phone,
        (SELECT member_id FROM member_links WHERE member_links.user_id = erasures.user_id) AS member_id
    """
)

# Is this erasure still to be made, and will nobody else make it before this transaction ends?
_LOCK_RUNNING = text("SELECT id FROM erasures WHERE id = :id AND state = 'running' FOR UPDATE")

# Is this erasure done?
_FINISH = text(
    """
    UPDATE erasures SET state = 'done', user_id = NULL, done_time = :now, tables = CAST(:tables AS jsonb) WHERE id = :id
    """
)

# By what are rows about this user found?
_PERSON = """
    SELECT users.id, phone, member_id FROM users LEFT JOIN member_links ON user_id = users.id WHERE users.id = $1
"""


async def get(connection: ReadConnection, erasure_id: UUID) -> Erasure | None:
    """Returns an erasure, or None."""
    row = await connection.fetchrow(_GET, erasure_id)
    return None if row is None else _erasure(row)


async def lock_open(tx: Transaction, user_id: UUID) -> Erasure | None:
    """Returns the erasure that waits for a user or is under way, or None."""
    row = (await tx.execute(_LOCK_OPEN, {"user_id": user_id})).mappings().one_or_none()
    return None if row is None else _erasure(row)


async def add(tx: Transaction, user_id: UUID, erasure: Erasure) -> None:
    """Writes down who is to be erased."""
    values = {"state": erasure.state.value, "now": erasure.request_time, "erase_time": erasure.erase_time}
    await tx.execute(_ADD, {"id": erasure.id, "user_id": user_id, **values})


async def hasten(tx: Transaction, erasure_id: UUID, now: datetime) -> None:
    """Lets an erasure begin at once, without a way back."""
    await tx.execute(_HASTEN, {"id": erasure_id, "now": now})


async def cancel(tx: Transaction, erasure_id: UUID) -> None:
    """Takes an erasure back; what is left of it says nothing about anybody."""
    await tx.execute(_CANCEL, {"id": erasure_id})


async def claim(tx: Transaction, now: datetime, first_wait: timedelta, longest_wait: timedelta) -> DueErasure | None:
    """Returns an erasure that is due and makes it ours until its next attempt is due; None when there is none."""
    row = (await tx.execute(_CLAIM, {"now": now, "first_wait": first_wait, "longest_wait": longest_wait})).one_or_none()
    if row is None:
        return None
    return DueErasure(row.id, Person(row.user_id, row.member_id, row.phone), row.attempt_count)


async def lock_running(tx: Transaction, erasure_id: UUID) -> bool:
    """Tells whether an erasure is still to be made; nobody else makes it before the transaction ends."""
    return (await tx.execute(_LOCK_RUNNING, {"id": erasure_id})).one_or_none() is not None


async def finish(tx: Transaction, erasure_id: UUID, tables: Sequence[ErasedTable], now: datetime) -> None:
    """Writes the receipt, which says nothing about anybody."""
    await tx.execute(_FINISH, {"id": erasure_id, "now": now, "tables": json.dumps([asdict(table) for table in tables])})


async def person(connection: ReadConnection, user_id: UUID) -> Person | None:
    """Returns by what rows about a user are found, or None when there is no such user."""
    row = await connection.fetchrow(_PERSON, user_id)
    return None if row is None else Person(row["id"], row["member_id"], row["phone"])


async def erase_rows(tx: Transaction, rows: PersonalRows, person: Person) -> ErasedTable:
    """Erases a person's rows of a table as they are declared to be, and returns how many there were."""
    if isinstance(rows.erasure, Rewrite):
        return ErasedTable(Store.POSTGRES, rows.table, anonymized_count=await rows.erasure.rewrite(tx, person))
    if isinstance(rows.erasure, Delete):
        return ErasedTable(Store.POSTGRES, rows.table, deleted_count=await _count(tx, _delete(rows), person))
    statement = _change(rows, rows.erasure) if isinstance(rows.erasure, Change) else _select(rows)
    return ErasedTable(Store.POSTGRES, rows.table, anonymized_count=await _count(tx, statement, person))


async def count_warehouse_rows(warehouse: Warehouse, rows: WarehouseRows, member_id: int | None) -> ErasedTable:
    """Returns how many of a member's rows of a table stay in the warehouse."""
    # How many rows of this table are hers?
    statement = f"SELECT count() FROM {rows.table} WHERE member_id = {{member_id:Int64}}"  # noqa: S608 - constants only
    counted = await warehouse.query(statement, {"member_id": member_id or 0}, background=True)
    return ErasedTable(Store.CLICKHOUSE, rows.table, anonymized_count=int(counted[0][0]))


async def _count(tx: Transaction, statement: str, person: Person) -> int:
    """Runs a statement that returns a row for each of hers; one that changes changes them."""
    counting, values = bound(f"WITH hers AS ({statement}) SELECT count(*) FROM hers", person)  # noqa: S608 - constants only
    driver = await tx.driver()
    counted: int = await driver.fetchval(counting, *values)
    return counted


def _delete(rows: PersonalRows) -> str:
    # Which rows of this table are hers, and are they gone?
    return f"DELETE FROM {rows.table} AS kept WHERE {rows.hers} RETURNING 1"  # noqa: S608 - constants only


def _change(rows: PersonalRows, change: Change) -> str:
    # Which rows of this table point to her, and do they no longer?
    return f"UPDATE {rows.table} AS kept SET {change.assignments} WHERE {rows.hers} RETURNING 1"  # noqa: S608 - constants only


def _select(rows: PersonalRows) -> str:
    # Which rows of this table name her by an id alone?
    return f"SELECT 1 FROM {rows.table} AS kept WHERE {rows.hers}"  # noqa: S608 - constants only


def _erasure(row: Mapping[str, Any] | Any) -> Erasure:
    return Erasure(
        id=row["id"],
        state=ErasureState(row["state"]),
        request_time=row["request_time"],
        erase_time=row["erase_time"],
        done_time=row["done_time"],
        tables=tuple(
            ErasedTable(**{**kept, "store": Store(kept["store"])}) for kept in json.loads(row["tables"] or "[]")
        ),
    )
