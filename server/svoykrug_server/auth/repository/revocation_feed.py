"""All SQL about announcing and hearing revocations."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
from sqlalchemy import text

from svoykrug_server.auth.model import Revocation
from svoykrug_server.storage.postgres import Transaction

CHANNEL = "svoykrug_revocations"
"""The channel of NOTIFY on which revocations travel, and nothing else."""

KEYS_CHANNEL = "svoykrug_signing_keys"
"""The channel on which it travels that the signing keys changed: a rejected key ends every token it signed."""

Listener: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

LOST = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)
"""What the connection that listens raises when it cannot go on; a timeout is an OSError."""

# Which access tokens die before their time?
_INSERT = text(
    """
    INSERT INTO auth_revocations (grant_id, ended, access_epoch, revoke_time, until_time)
    VALUES (:grant_id, :ended, :access_epoch, :now, :until_time)
    """
)

# Who else must know at once? (told when the transaction commits)
_NOTIFY = text("SELECT pg_notify(:channel, :payload)")

# Which access tokens would still live if they had not been ended?
_LIVE = "SELECT grant_id, ended, access_epoch, until_time FROM auth_revocations WHERE until_time > $1"

# Is the connection that listens alive? (what was announced before this is heard before its answer)
_BEAT = "SELECT 1"

# Which revocations have nothing left to forbid?
_FORGET = text("DELETE FROM auth_revocations WHERE until_time < :now")


async def announce(tx: Transaction, revocation: Revocation, now: datetime) -> None:
    """Keeps a revocation, and tells every server of it when the transaction commits."""
    values: dict[str, Any] = {
        "grant_id": revocation.grant_id,
        "ended": revocation.ended,
        "access_epoch": revocation.access_epoch,
        "until_time": revocation.until_time,
    }
    await tx.execute(_INSERT, values | {"now": now})
    await tx.execute(_NOTIFY, {"channel": CHANNEL, "payload": to_payload(revocation)})


def watch(connection: Listener) -> asyncio.Event:
    """Returns what is set as soon as the connection that listens breaks; only a beat tells that it fell silent."""
    lost = asyncio.Event()
    connection.add_termination_listener(lambda _: lost.set())
    return lost


async def announce_keys(tx: Transaction) -> None:
    """Tells every server when the transaction commits that the signing keys changed."""
    await tx.execute(_NOTIFY, {"channel": KEYS_CHANNEL, "payload": ""})


async def listen(connection: Listener, hear: Callable[[Revocation], None], hear_of_keys: Callable[[], None]) -> None:
    """Gives every revocation announced from now on to `hear`, and calls `hear_of_keys` whenever signing keys change."""

    def on_notify(*notification: Any) -> None:
        hear(from_payload(notification[-1]))

    await connection.add_listener(CHANNEL, on_notify)
    await connection.add_listener(KEYS_CHANNEL, lambda *_: hear_of_keys())


async def live(connection: Listener, now: datetime) -> tuple[Revocation, ...]:
    """Returns the revocations that still forbid something, read by the connection that listens."""
    rows = await connection.fetch(_LIVE, now)
    return tuple(Revocation(row["grant_id"], row["ended"], row["access_epoch"], row["until_time"]) for row in rows)


async def beat(connection: Listener) -> None:
    """Proves that the connection lives and has delivered what was announced before."""
    await connection.execute(_BEAT)


async def forget(tx: Transaction, now: datetime) -> int:
    """Deletes the revocations that forbid nothing any more, and returns how many there were."""
    return (await tx.execute(_FORGET, {"now": now})).rowcount


def to_payload(revocation: Revocation) -> str:
    """Returns a revocation as it travels."""
    until_seconds = revocation.until_time.timestamp()
    return json.dumps([str(revocation.grant_id), revocation.ended, revocation.access_epoch, until_seconds])


def from_payload(payload: str) -> Revocation:
    """Reads what `to_payload` wrote.

    Raises:
        ValueError: It is something else.
    """
    grant_id, ended, access_epoch, until_seconds = json.loads(payload)
    return Revocation(UUID(grant_id), ended, access_epoch, datetime.fromtimestamp(until_seconds, UTC))
