"""Reading the audit trail."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from svoykrug_server.kit.errors import InvalidFields
from svoykrug_server.storage import audit
from svoykrug_server.storage.audit import ActorKind, AuditEvent, AuditResult
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.users.administration import trail_repository as repository
from svoykrug_server.users.administration.model import BEGINNING, END, RecordedEvent, TrailFilter
from svoykrug_server.users.administration.servicer import AdministrationUseCases
from svoykrug_server.users.administration.trail import AuditTrail

BEGAN = datetime(2026, 6, 1, tzinfo=UTC)
ACTORS = [uuid4(), uuid4()]
TARGETS = [str(uuid4()), "salon", ""]
ACTIONS = ["SIGNED_IN", "USER_BANNED", "ROLES_CHANGED"]


@pytest.fixture
def trail(administration: AdministrationUseCases) -> AuditTrail:
    return administration.trail


@pytest.fixture
async def events(postgres: Postgres) -> list[AuditEvent]:
    """Sixty events of all kinds; three at each instant."""
    written = [
        AuditEvent(
            ACTIONS[number % 3],
            BEGAN + timedelta(seconds=number // 3),
            actor_kind=ActorKind.USER,
            actor_id=[*ACTORS, None][number % 5 % 3],
            target_kind="user",
            target_id=TARGETS[number % 7 % 3],
            details={"number": number},
        )
        for number in range(60)
    ]
    async with postgres.transaction() as tx:
        for event in written:
            await audit.append(tx, event)
    return written


async def listed(trail: AuditTrail, wanted: TrailFilter, size: int = 500) -> list[RecordedEvent]:
    found: list[RecordedEvent] = []
    token = ""
    while True:
        page = await trail.page(wanted, size=size, token=token)
        found.extend(page.events)
        token = page.next_page_token
        if not token:
            return found
        assert len(page.events) == size


@pytest.mark.parametrize("size", [1, 7, 500])
@pytest.mark.parametrize(
    "wanted",
    [
        TrailFilter(),
        TrailFilter(actor_id=ACTORS[1]),
        TrailFilter(target_id="salon"),
        TrailFilter(actions=("ROLES_CHANGED", "USER_BANNED")),
        TrailFilter(actor_id=ACTORS[0], target_id=TARGETS[0], actions=("SIGNED_IN",)),
        TrailFilter(since=BEGAN + timedelta(seconds=5), until=BEGAN + timedelta(seconds=9)),
        TrailFilter(actor_id=uuid4()),
    ],
)
async def test_a_list_holds_the_events_that_its_filters_name_the_newest_first(
    trail: AuditTrail, events: list[AuditEvent], wanted: TrailFilter, size: int
) -> None:
    expected = {
        event.details["number"]
        for event in events
        if wanted.actor_id in (None, event.actor_id)
        and wanted.target_id in ("", event.target_id)
        and (not wanted.actions or event.action in wanted.actions)
        and (wanted.since is None or event.event_time >= wanted.since)
        and (wanted.until is None or event.event_time < wanted.until)
    }
    found = await listed(trail, wanted, size)
    assert {event.details["number"] for event in found} == expected
    assert len(found) == len(expected)
    assert found == sorted(found, key=lambda event: (event.event_time, event.id), reverse=True)


async def test_an_event_comes_back_with_everything_that_was_kept(postgres: Postgres, trail: AuditTrail) -> None:
    event = AuditEvent(
        "USER_BANNED",
        BEGAN,
        actor_kind=ActorKind.SERVICE,
        actor_id=ACTORS[0],
        target_kind="user",
        target_id=TARGETS[0],
        result=AuditResult.REFUSED,
        peer_address="2001:db8::/64",
        request_id="a-request",
        details={"reason": "fraud", "counts": [1, 2], "nested": {"deep": None}},
    )
    async with postgres.transaction() as tx:
        event_id = await audit.append(tx, event)
    assert await listed(trail, TrailFilter()) == [
        RecordedEvent(
            id=event_id,
            action="USER_BANNED",
            event_time=BEGAN,
            actor_kind="service",
            actor_id=ACTORS[0],
            target_kind="user",
            target_id=TARGETS[0],
            refused=True,
            peer_address="2001:db8::/64",
            request_id="a-request",
            details={"reason": "fraud", "counts": [1, 2], "nested": {"deep": None}},
        )
    ]


async def test_an_event_of_the_system_names_nobody(postgres: Postgres, trail: AuditTrail) -> None:
    async with postgres.transaction() as tx:
        await audit.append(tx, AuditEvent("KEYS_ROTATED", BEGAN))
    [event] = await listed(trail, TrailFilter())
    assert (event.actor_id, event.target_kind, event.target_id, event.peer_address) == (None, "", "", "")


async def test_a_token_of_another_list_is_refused(trail: AuditTrail, events: list[AuditEvent]) -> None:
    page = await trail.page(TrailFilter(), size=3, token="")
    with pytest.raises(InvalidFields) as refusal:
        await trail.page(TrailFilter(actions=("SIGNED_IN",)), size=3, token=page.next_page_token)
    assert refusal.value.reason == "INVALID_PAGE_TOKEN"


@pytest.mark.parametrize(
    "wanted",
    [
        TrailFilter(),
        TrailFilter(actor_id=UUID(int=3)),
        TrailFilter(target_id="3"),
        TrailFilter(actions=("RARE", "COMMON")),
    ],
)
async def test_a_page_of_a_long_trail_is_read_from_an_index_in_its_order(
    postgres: Postgres, trail: AuditTrail, wanted: TrailFilter
) -> None:
    connection = await postgres.dedicated()
    await connection.execute(
        "INSERT INTO audit_events (event_id, event_time, action, result, actor_kind, actor_id, target_id, details) "
        "SELECT gen_random_uuid(), $1::timestamptz - n * interval '1 s', CASE WHEN n = 30000 THEN 'RARE' ELSE 'COMMON' "
        "END, 'done', 'user', lpad(to_hex(n % 100), 32, '0')::uuid, (n % 100)::text, '{}' "
        "FROM generate_series(1, 30000) n",
        BEGAN,
    )
    await connection.execute("ANALYZE audit_events")
    asked = Asked()
    await repository.events(asked, wanted, (END, UUID(int=0)), BEGINNING, 51)  # type: ignore[arg-type]  # it only listens
    plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {asked.statement}", *asked.values))
    await connection.close()
    assert "Index Scan" in plan
    assert "Seq Scan" not in plan
    assert "Sort" not in plan.replace("Sort Key", "")
    assert len((await trail.page(wanted, size=50, token="")).events) == 50


class Asked:
    """A connection that keeps what it is asked."""

    def __init__(self) -> None:
        self.statement = ""
        self.values: tuple[object, ...] = ()

    async def fetch(self, statement: str, *values: object) -> list[object]:
        """Keeps a statement and its values, and finds nothing."""
        self.statement, self.values = statement, values
        return []
