"""The audit trail is append-only, and part of the transaction of what it tells of."""

from uuid import UUID

import pytest
import sqlalchemy as sa

from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.storage import audit
from svoykrug_server.storage.audit import ActorKind, AuditEvent, AuditResult
from svoykrug_server.storage.postgres import Postgres

USER_ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


async def append(postgres: Postgres, clock: ManualClock) -> UUID:
    event = AuditEvent(
        "SESSION_COMPROMISED",
        clock.now(),
        ActorKind.USER,
        USER_ID,
        "session",
        "s-1",
        AuditResult.REFUSED,
        "2001:db8::1",
        "request-1",
        {"device_count": 2},
    )
    async with postgres.transaction() as tx:
        return await audit.append(tx, event)


async def test_an_event_is_kept_whole(postgres: Postgres, clock: ManualClock) -> None:
    event_id = await append(postgres, clock)
    async with postgres.read() as connection:
        row = await connection.fetchrow("SELECT * FROM audit_events")
    assert row is not None
    assert dict(row) | {"peer_address": str(row["peer_address"])} == {
        "event_id": event_id,
        "event_time": clock.now(),
        "action": "SESSION_COMPROMISED",
        "result": "refused",
        "actor_kind": "user",
        "actor_id": USER_ID,
        "target_kind": "session",
        "target_id": "s-1",
        "peer_address": "2001:db8::1",
        "request_id": "request-1",
        "details": {"device_count": 2},
    }


async def test_many_events_are_kept_each_with_an_id_of_its_own_and_none_is_no_work(
    postgres: Postgres, clock: ManualClock
) -> None:
    events = [AuditEvent("TIER_CHANGED", clock.now(), target_id=str(place)) for place in range(3)]
    async with postgres.transaction() as tx:
        await audit.append_all(tx, events)
        await audit.append_all(tx, [])
    async with postgres.read() as connection:
        rows = await connection.fetch("SELECT event_id, actor_kind, target_id FROM audit_events ORDER BY target_id")
    assert [(row["actor_kind"], row["target_id"]) for row in rows] == [
        ("system", "0"),
        ("system", "1"),
        ("system", "2"),
    ]
    assert len({row["event_id"] for row in rows}) == 3


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_events SET action = 'X'",
        "UPDATE audit_events SET peer_address = '192.0.2.1'",
        "UPDATE audit_events SET peer_address = NULL, actor_id = NULL",
        "DELETE FROM audit_events",
        "TRUNCATE audit_events",
    ],
)
async def test_the_database_refuses_to_change_an_event(postgres: Postgres, clock: ManualClock, change: str) -> None:
    async def make() -> None:
        async with postgres.transaction() as tx:
            await tx.execute(sa.text(change))

    await append(postgres, clock)
    with pytest.raises(sa.exc.DBAPIError, match="append-only"):
        await make()


async def test_only_the_address_of_an_event_can_be_taken_away(postgres: Postgres, clock: ManualClock) -> None:
    await append(postgres, clock)
    async with postgres.transaction() as tx:
        await tx.execute(sa.text("UPDATE audit_events SET peer_address = NULL"))
    async with postgres.read() as connection:
        assert await connection.fetchval("SELECT peer_address IS NULL AND action <> '' FROM audit_events")
