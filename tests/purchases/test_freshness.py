"""How far the warehouse is, and who is shown what."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from google.type.date_pb2 import Date
from svoykrug.analytics.v1 import analytics_service_pb2 as pb
from svoykrug.analytics.v1.scope_pb2 import PROOF_STATE_EQUAL, PROOF_STATE_UNPROVEN

from svoykrug_server.analytics.freshness import convert
from svoykrug_server.analytics.freshness.model import DayPage, DayRange
from svoykrug_server.analytics.freshness.service import FreshnessService
from svoykrug_server.kit.caller import StaffRole
from svoykrug_server.kit.errors import InvalidFields, PermissionDenied, Unavailable, WarehouseUnavailable
from svoykrug_server.purchases.reconciler import TOTALS_STAND
from tests.callers import admin, person
from tests.purchases.circle import NOON, Circle
from tests.purchases.freshness import READER, freshness_of

MAY = DayPage(DayRange(date(2026, 5, 1), date(2026, 6, 1)))


async def test_what_waits_and_how_long_is_told_until_it_is_shipped(circle: Circle, freshness: FreshnessService) -> None:
    business_id = await circle.add_business()
    await circle.buy(business_id, await circle.add_member(), "receipt", 100)
    circle.pass_time(2.5)

    waiting = await freshness.report(READER, None, None)
    await circle.relay.step()
    shipped = await freshness.report(READER, None, None)

    assert (waiting.watermark, waiting.waiting_count, waiting.lag_ms) == (None, 1, 2_500)
    assert (shipped.watermark, shipped.waiting_count, shipped.lag_ms) == (circle.clock.now(), 0, 0)
    assert waiting.totals.postgres.entry_count == 0
    assert shipped.totals.postgres == shipped.totals.clickhouse
    assert (shipped.totals.postgres.entry_count, shipped.totals.postgres.sum_minor) == (1, 100)


class ShipsAfterProof:
    """A proof right after which the relay ships more."""

    def __init__(self, circle: Circle) -> None:
        self._circle = circle

    async def prove_again(self, business_id: UUID | None, days: Sequence[tuple[UUID, date]]) -> None:
        await self._circle.reconciler.prove_again(business_id, days)
        await self._circle.relay.step()


async def test_what_is_shipped_after_the_proof_still_counts_as_waiting(circle: Circle) -> None:
    freshness = freshness_of(circle, ShipsAfterProof(circle))
    await circle.buy(await circle.add_business(), await circle.add_member(), "receipt", 100)

    told = await freshness.report(READER, None, None)

    assert (told.waiting_count, told.watermark, told.totals.postgres.entry_count) == (1, None, 0)


async def test_days_are_listed_by_business_in_the_range_asked_for(circle: Circle, freshness: FreshnessService) -> None:
    businesses, member = sorted([await circle.add_business() for _ in range(2)]), await circle.add_member()
    for number, business_id in enumerate(businesses):
        await circle.buy(business_id, member, f"r{number}", 100 + number)
        await circle.buy(business_id, member, f"old{number}", 1, at=NOON - timedelta(days=40))
    await circle.relay.step()

    of_circle = await freshness.report(READER, None, MAY)
    of_business = await freshness.report(READER, businesses[1], MAY)

    assert [(day.business_id, day.day, day.clickhouse.sum_minor) for day in of_circle.days] == [
        (businesses[0], NOON.date(), 100),
        (businesses[1], NOON.date(), 101),
    ]
    assert [day.postgres.sum_minor for day in of_business.days] == [101]
    assert of_business.totals.postgres.sum_minor == 102


async def test_a_page_of_days_goes_on_after_the_one_before(circle: Circle, freshness: FreshnessService) -> None:
    businesses, member = sorted([await circle.add_business() for _ in range(2)]), await circle.add_member()
    days = [NOON.date() + timedelta(days=number) for number in range(3)]
    for business_id in businesses:
        for number in range(3):
            await circle.buy(business_id, member, f"r{number}", 100, at=NOON - timedelta(days=number))
    await circle.relay.step()
    range_, seen, token = DayRange(days[0] - timedelta(days=2), days[0] + timedelta(days=1)), [], ""

    for _ in range(3):
        page = await freshness.report(READER, None, DayPage(range_, 2, token))
        seen.append([(day.business_id, day.day) for day in page.days])
        token = page.next_page_token

    assert token == ""
    assert [len(page) for page in seen] == [2, 2, 2]
    assert [day for page in seen for day in page] == [
        (business_id, days[0] - timedelta(days=2 - number)) for business_id in businesses for number in range(3)
    ]
    first = await freshness.report(READER, None, DayPage(range_, 2))
    with pytest.raises(InvalidFields) as refused:
        await freshness.report(READER, businesses[0], DayPage(range_, 2, first.next_page_token))
    assert refused.value.reason == "INVALID_PAGE_TOKEN"


async def is_disputed(freshness: FreshnessService, business_id: UUID | None, cutoff: datetime) -> bool:
    """Tells whether what would be computed of a scope is refused because the stores disagree."""
    try:
        async with freshness.undisputed(business_id, cutoff):
            return False
    except Unavailable as refusal:
        return refusal.reason == "STORES_DISAGREE"


async def test_a_kopeck_changed_in_the_warehouse_is_seen_by_whoever_asks_and_blocks_snapshots(
    circle: Circle, freshness: FreshnessService
) -> None:
    business_id = await circle.add_business()
    await circle.buy(business_id, await circle.add_member(), "receipt", 100)
    await circle.relay.step()
    await freshness.report(READER, None, None)
    await circle.warehouse.command("ALTER TABLE purchases UPDATE amount_minor = 99 WHERE 1 SETTINGS mutations_sync = 1")
    circle.pass_time(TOTALS_STAND.total_seconds())

    report = await freshness.report(READER, None, None)
    disputed = [await is_disputed(freshness, scope, circle.clock.now()) for scope in (None, business_id)]
    before_that_day = await is_disputed(freshness, None, NOON - timedelta(days=2))
    await circle.reconciler.repair()

    assert (report.totals.postgres.sum_minor, report.totals.clickhouse.sum_minor) == (100, 99)
    assert report.totals.disputed_day_count == 1
    assert not convert.report_to_proto(report).equal
    assert disputed == [True, True]
    assert not before_that_day
    assert not await is_disputed(freshness, None, circle.clock.now())


async def test_sensitive_purchases_are_shown_to_admins_and_their_own_business_only(
    circle: Circle, freshness: FreshnessService
) -> None:
    clinic_id, member = await circle.add_business(sensitive=True), await circle.add_member()
    await circle.buy(clinic_id, member, "receipt", 100)
    await circle.relay.step()
    owner = person(staff={clinic_id: StaffRole.OWNER})

    counts = [
        (await freshness.report(caller, scope, MAY)).totals.postgres.entry_count
        for caller, scope in ((admin(), None), (admin(), clinic_id), (owner, clinic_id), (READER, None))
    ]

    assert counts == [1, 1, 1, 0]
    assert (await freshness.report(READER, None, MAY)).days == []
    with pytest.raises(PermissionDenied):
        await freshness.report(READER, clinic_id, None)
    with pytest.raises(PermissionDenied):
        await freshness.report(READER, UUID(int=1), None)


async def test_a_warehouse_that_is_away_is_said(
    circle: Circle, freshness: FreshnessService, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> None:
        raise WarehouseUnavailable

    monkeypatch.setattr(circle.warehouse, "query", away)
    with pytest.raises(WarehouseUnavailable):
        await freshness.report(READER, None, None)


@pytest.mark.parametrize(
    ("from_date", "to_date"),
    [
        (Date(year=2026, month=2, day=30), Date(year=2026, month=3, day=1)),
        (Date(year=2026, month=2, day=1), None),
        (Date(year=2026, month=2, day=1), Date(year=2026, month=2, day=1)),
        (Date(year=2025, month=1, day=1), Date(year=2026, month=1, day=3)),
        (Date(year=2026), Date(year=2027)),
    ],
)
def test_a_range_of_days_that_is_none_is_refused(from_date: Date, to_date: Date | None) -> None:
    with pytest.raises(InvalidFields):
        convert.days_from_proto(pb.GetFreshnessRequest(from_date=from_date, to_date=to_date))


async def test_what_waits_at_a_sensitive_business_is_counted_for_admins_and_that_business_only(
    circle: Circle, freshness: FreshnessService
) -> None:
    clinic_id, florist_id = await circle.add_business(sensitive=True), await circle.add_business()
    await circle.buy(clinic_id, await circle.add_member(), "receipt", 100)
    circle.pass_time(2.5)
    await circle.buy(florist_id, await circle.add_member(), "receipt", 100)
    owner = person(staff={clinic_id: StaffRole.OWNER})

    waiting = [
        (report.waiting_count, report.lag_ms)
        for caller, scope in ((admin(), None), (owner, clinic_id), (READER, None))
        for report in [await freshness.report(caller, scope, None)]
    ]

    assert waiting == [(2, 2_500), (1, 2_500), (1, 0)]


async def test_days_that_are_too_many_for_a_call_are_told_as_unproven_until_the_upkeep_has_proven_them(
    circle: Circle, freshness: FreshnessService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("svoykrug_server.purchases.reconciler.DAYS_AT_ONCE", 1)
    business_id, member = await circle.add_business(), await circle.add_member()
    for number in range(2):
        await circle.buy(business_id, member, f"r{number}", 100, at=NOON - timedelta(days=number))
    await circle.relay.step()

    asked = convert.report_to_proto(await freshness.report(READER, None, None))
    await circle.reconciler.step()
    settled = await freshness.report(READER, None, DayPage(DayRange(date(2026, 4, 1), date(2026, 6, 1))))
    told = convert.report_to_proto(settled)

    assert (asked.waiting_count, asked.unproven_day_count, asked.equal) == (0, 2, False)
    assert (asked.postgres.entry_count, asked.HasField("proven_time")) == (0, False)
    assert (told.unproven_day_count, told.equal, told.postgres.entry_count) == (0, True, 2)
    assert told.proven_time.ToDatetime(UTC) == circle.clock.now()
    assert [day.state for day in told.days] == [PROOF_STATE_EQUAL] * 2


async def test_a_call_that_waited_long_enough_for_proofs_answers_with_what_is_known(
    circle: Circle, freshness: FreshnessService, monkeypatch: pytest.MonkeyPatch
) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    await circle.buy(business_id, member, "before", 100)
    await circle.relay.step()
    await circle.reconciler.step()
    for number in range(2):
        await circle.buy(business_id, member, f"r{number}", 100, at=NOON - timedelta(days=number))
    await circle.relay.step()
    monkeypatch.setattr("svoykrug_server.purchases.reconciler.ASKED_SECONDS", 0.1)

    async def silent(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(circle.copy, "totals", silent)
    report = await freshness.report(READER, None, DayPage(DayRange(date(2026, 4, 1), date(2026, 6, 1))))
    told = convert.report_to_proto(report)

    assert (told.waiting_count, told.unproven_day_count, told.equal) == (0, 2, False)
    assert told.postgres.entry_count == told.clickhouse.entry_count == 1
    assert [day.state for day in told.days] == [PROOF_STATE_UNPROVEN] * 2
    assert [day.HasField("postgres") for day in told.days] == [False, True]


async def test_a_total_that_is_not_as_proven_makes_every_day_feared_until_it_is_proven(
    circle: Circle, freshness: FreshnessService, monkeypatch: pytest.MonkeyPatch
) -> None:
    business_id, member = await circle.add_business(), await circle.add_member()
    for number in range(3):
        await circle.buy(business_id, member, f"r{number}", 100, at=NOON - timedelta(days=number))
    await circle.relay.step()
    await circle.reconciler.step()
    await circle.warehouse.command("DELETE FROM purchases WHERE toDate(purchase_time) = '2026-05-01'")
    # Today's entries are not proven yet: the loss of another day is seen all the same.
    await circle.buy(business_id, member, "today", 100, at=NOON + timedelta(days=1))
    await circle.relay.step()
    monkeypatch.setattr("svoykrug_server.purchases.reconciler.DAYS_AT_ONCE", 1)

    feared = (await freshness.report(READER, None, None)).totals
    refused = await is_disputed(freshness, business_id, circle.clock.now())
    await circle.reconciler.prove_changed()
    seen = (await freshness.report(READER, None, None)).totals
    await circle.reconciler.repair()
    mended = (await freshness.report(READER, None, None)).totals

    assert (feared.disputed_day_count, feared.unproven_day_count, refused) == (4, 4, True)
    assert (seen.disputed_day_count, seen.unproven_day_count) == (1, 0)
    assert mended.equal
    assert mended.clickhouse.entry_count == 4
