"""Snapshots computed by ClickHouse, against the oracle: equal to the kopeck."""

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from svoykrug_server.analytics.model import BuildContents, MemberRow, SnapshotPlan
from svoykrug_server.analytics.segments import SCORES_BY_SEGMENT, SEGMENT_BY_SCORES, Segment
from svoykrug_server.analytics.warehouse import SnapshotWarehouse
from svoykrug_server.storage.warehouse import Warehouse
from tests.analytics import oracle
from tests.analytics.circles import (
    BUSINESSES,
    CUTOFF,
    SENSITIVE,
    WATERMARK,
    Entry,
    correction,
    ingest,
    purchase,
    random_circle,
)

MOSCOW = ZoneInfo("Europe/Moscow")
NEW_YORK = ZoneInfo("America/New_York")
NAMES = {segment: segment.name.replace("_", " ").title() for segment in Segment} | {Segment.CANT_LOSE: "Can't Lose"}
DAY = timedelta(days=1)


def plan(
    business_id: UUID | None = None,
    window_days: int = 365,
    cutoff: datetime = CUTOFF,
    watermark: datetime = WATERMARK,
) -> SnapshotPlan:
    return SnapshotPlan(uuid4(), business_id, cutoff, window_days, watermark, "test")


async def computed(warehouse: Warehouse, asked: SnapshotPlan, zone: ZoneInfo = MOSCOW) -> list[MemberRow]:
    rows = SnapshotWarehouse(warehouse, zone)
    build_id = uuid4()
    await rows.build(asked, build_id)
    return sorted(await rows.page(build_id, None, None, 100_000), key=lambda row: row.member_id)


def frame(rows: Sequence[MemberRow]) -> pd.DataFrame:
    members = [
        (
            NAMES[row.segment],
            row.recency_days,
            row.purchase_count,
            row.net_spend_minor,
            row.recency_score,
            row.frequency_score,
            row.monetary_score,
        )
        for row in rows
    ]
    index = pd.Index([row.member_id for row in rows], name="member_id", dtype="int64")
    return pd.DataFrame(members, columns=oracle.COLUMNS, index=index)


def assert_equal(rows: Sequence[MemberRow], expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(frame(rows), expected, check_dtype=False, check_index_type=False)


def test_every_cell_has_exactly_one_segment() -> None:
    cells = [cell for cells in SCORES_BY_SEGMENT.values() for cell in cells.split()]
    assert sorted(cells) == [f"{r}{f}{m}" for r in range(1, 6) for f in range(1, 6) for m in range(1, 6)]
    assert len(SEGMENT_BY_SCORES) == 125


def test_every_cell_is_in_the_segment_that_the_design_says() -> None:
    assert {str(scores): NAMES[segment] for scores, segment in SEGMENT_BY_SCORES.items()} == oracle.design_cells()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("business_id", [None, BUSINESSES[0], BUSINESSES[4]], ids=["circle", "business", "sensitive"])
async def test_a_snapshot_equals_the_oracle(warehouse: Warehouse, seed: int, business_id: UUID | None) -> None:
    entries = random_circle(seed)
    await ingest(warehouse, entries)
    rows = await computed(warehouse, plan(business_id))
    expected = oracle.snapshot(oracle.ledger(entries), business_id, CUTOFF, 365, WATERMARK, MOSCOW)
    assert len(expected) > 50
    assert_equal(rows, expected)


@pytest.mark.parametrize("window_days", [1, 30, 3660])
async def test_any_window_equals_the_oracle(warehouse: Warehouse, window_days: int) -> None:
    entries = random_circle(7)
    await ingest(warehouse, entries)
    expected = oracle.snapshot(oracle.ledger(entries), None, CUTOFF, window_days, WATERMARK, MOSCOW)
    assert_equal(await computed(warehouse, plan(window_days=window_days)), expected)


@pytest.mark.parametrize("zone", [MOSCOW, NEW_YORK, ZoneInfo("UTC"), ZoneInfo("Asia/Kamchatka")], ids=str)
async def test_a_day_is_a_day_in_the_zone_of_the_circle(warehouse: Warehouse, zone: ZoneInfo) -> None:
    entries = random_circle(8)
    await ingest(warehouse, entries)
    expected = oracle.snapshot(oracle.ledger(entries), None, CUTOFF, 365, WATERMARK, zone)
    assert_equal(await computed(warehouse, plan(), zone), expected)


async def test_a_window_across_a_clock_change_begins_at_the_same_hour(warehouse: Warehouse) -> None:
    cutoff = datetime(2026, 3, 9, 16, tzinfo=UTC)  # noon in New York, the day after the clocks went forward
    noon_before = datetime(2026, 3, 7, 17, tzinfo=UTC)  # noon two days before, 49 hours later than 48 would be
    inside, outside = purchase(1, 1, 100, noon_before), purchase(2, 2, 100, noon_before - timedelta(microseconds=1))
    await ingest(warehouse, [inside, outside])
    rows = await computed(warehouse, plan(window_days=2, cutoff=cutoff), NEW_YORK)
    assert [row.member_id for row in rows] == [1]


async def test_what_was_not_known_by_the_watermark_does_not_count(warehouse: Warehouse) -> None:
    entries = random_circle(9)
    await ingest(warehouse, entries)
    early = CUTOFF + timedelta(hours=1)
    expected = oracle.snapshot(oracle.ledger(entries), None, CUTOFF, 365, early, MOSCOW)
    assert not expected.equals(oracle.snapshot(oracle.ledger(entries), None, CUTOFF, 365, WATERMARK, MOSCOW))
    assert_equal(await computed(warehouse, plan(watermark=early)), expected)


async def test_rows_that_arrive_later_change_nothing(warehouse: Warehouse) -> None:
    await ingest(warehouse, random_circle(10))
    before = await computed(warehouse, plan())
    late = [replace(entry, ingest_time=WATERMARK + DAY) for entry in random_circle(11)]
    await ingest(warehouse, late)
    assert await computed(warehouse, plan()) == before


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order_seed=st.integers(0, 2**32), batches=st.integers(1, 9))
async def test_a_snapshot_is_the_same_whatever_the_order_of_import(
    warehouse: Warehouse, order_seed: int, batches: int
) -> None:
    entries = random_circle(12, members=60, purchases=300)
    random.Random(order_seed).shuffle(entries)
    await warehouse.command("TRUNCATE TABLE purchases")
    await ingest(warehouse, entries, batches)
    expected = oracle.snapshot(
        oracle.ledger(random_circle(12, members=60, purchases=300)), None, CUTOFF, 365, WATERMARK, MOSCOW
    )
    assert_equal(await computed(warehouse, plan()), expected)


async def test_a_fully_refunded_purchase_leaves_recency_and_frequency(warehouse: Warehouse) -> None:
    kept, gone = purchase(1, 1, 500, CUTOFF - 30 * DAY), purchase(2, 1, 700, CUTOFF - 3 * DAY)
    await ingest(warehouse, [kept, gone, correction(3, gone, "refund", 700, DAY, DAY)])
    (row,) = await computed(warehouse, plan())
    assert (row.recency_days, row.purchase_count, row.net_spend_minor) == (30, 1, 500)


async def test_a_partly_refunded_purchase_stays_with_what_is_left(warehouse: Warehouse) -> None:
    bought = purchase(1, 1, 700, CUTOFF - 3 * DAY)
    await ingest(warehouse, [bought, correction(2, bought, "refund", 699, DAY, DAY)])
    (row,) = await computed(warehouse, plan())
    assert (row.recency_days, row.purchase_count, row.net_spend_minor) == (3, 1, 1)


async def test_a_refund_after_the_cutoff_is_not_known_yet(warehouse: Warehouse) -> None:
    bought = purchase(1, 1, 700, CUTOFF - DAY)
    await ingest(warehouse, [bought, correction(2, bought, "refund", 700, DAY, DAY)])
    (row,) = await computed(warehouse, plan())
    assert row.net_spend_minor == 700


async def test_a_receipt_of_nothing_counts(warehouse: Warehouse) -> None:
    await ingest(warehouse, [purchase(1, 1, 0, CUTOFF - DAY)])
    (row,) = await computed(warehouse, plan())
    assert (row.purchase_count, row.net_spend_minor) == (1, 0)


async def test_a_purchase_at_the_cutoff_is_after_it(warehouse: Warehouse) -> None:
    await ingest(warehouse, [purchase(1, 1, 5, CUTOFF), purchase(2, 2, 5, CUTOFF - timedelta(microseconds=1))])
    assert [row.member_id for row in await computed(warehouse, plan())] == [2]


async def test_nobody_bought_makes_an_empty_snapshot(warehouse: Warehouse) -> None:
    assert await computed(warehouse, plan()) == []


def tied_circle(first_age_days: int) -> list[Entry]:
    """Returns nine members who bought long ago and one who bought once lately; the tenth has R 5, F 1, M 1."""
    often = [purchase(10 * m + n, m, 1_000, CUTOFF - (100 + n) * DAY) for m in range(1, 10) for n in range(3)]
    return [*often, purchase(200, 99, 1, CUTOFF - DAY), purchase(201, 99, 1, CUTOFF - first_age_days * DAY)]


@pytest.mark.parametrize(("age_days", "segment"), [(90, Segment.NEW), (91, Segment.ABOUT_TO_SLEEP)])
async def test_only_a_first_purchase_of_at_most_90_days_makes_a_member_new(
    warehouse: Warehouse, age_days: int, segment: Segment
) -> None:
    await ingest(warehouse, tied_circle(age_days))
    newcomer = (await computed(warehouse, plan()))[-1]
    assert (newcomer.recency_score, newcomer.frequency_score, newcomer.monetary_score) == (5, 1, 1)
    assert newcomer.segment is segment


async def test_a_first_purchase_before_the_window_makes_a_member_old(warehouse: Warehouse) -> None:
    await ingest(warehouse, tied_circle(700))
    newcomer = (await computed(warehouse, plan()))[-1]
    assert newcomer.purchase_count == 1
    assert newcomer.segment is Segment.ABOUT_TO_SLEEP


async def test_a_circle_never_holds_a_purchase_at_a_sensitive_business(warehouse: Warehouse) -> None:
    secret = [purchase(n, n, 100, CUTOFF - DAY, business) for n, business in enumerate(sorted(SENSITIVE), start=1)]
    await ingest(warehouse, [*secret, purchase(9, 9, 100, CUTOFF - DAY)])
    assert [row.member_id for row in await computed(warehouse, plan())] == [9]


async def test_the_contents_of_a_build_are_told_apart_by_one_kopeck(warehouse: Warehouse) -> None:
    rows, build_ids = SnapshotWarehouse(warehouse, MOSCOW), [uuid4(), uuid4()]
    await ingest(warehouse, [purchase(1, 1, 100, CUTOFF - DAY)])
    await rows.build(plan(), build_ids[0])
    await ingest(
        warehouse,
        [purchase(2, 1, 0, CUTOFF - DAY), correction(3, purchase(1, 1, 100, CUTOFF - DAY), "refund", 1, DAY / 2, DAY)],
    )
    await rows.build(plan(), build_ids[1])
    first, second = [await rows.contents(build_id) for build_id in build_ids]
    assert first.member_count == second.member_count == 1
    assert first.content_hash != second.content_hash


async def test_a_cleared_build_is_gone_and_others_stay(warehouse: Warehouse) -> None:
    rows, build_ids = SnapshotWarehouse(warehouse, MOSCOW), [uuid4(), uuid4()]
    await ingest(warehouse, random_circle(13, purchases=300))
    for build_id in build_ids:
        await rows.build(plan(), build_id)
    await rows.clear(build_ids[0])
    assert await rows.contents(build_ids[0]) == BuildContents(0, 0)
    assert (await rows.contents(build_ids[1])).member_count > 0


async def test_the_summary_adds_up_to_the_members(warehouse: Warehouse) -> None:
    rows, build_id = SnapshotWarehouse(warehouse, MOSCOW), uuid4()
    await ingest(warehouse, random_circle(14))
    await rows.build(plan(), build_id)
    members = await rows.page(build_id, None, None, 100_000)
    for figures in await rows.summary(build_id):
        hers = [row for row in members if row.segment is figures.segment]
        assert figures.member_count == len(hers)
        assert figures.net_spend_minor == sum(row.net_spend_minor for row in hers)
        assert figures.purchase_count == sum(row.purchase_count for row in hers)
        assert figures.mean_recency_days * len(hers) == pytest.approx(sum(row.recency_days for row in hers))


async def test_pages_give_every_member_once_the_highest_spend_first(warehouse: Warehouse) -> None:
    rows, build_id = SnapshotWarehouse(warehouse, MOSCOW), uuid4()
    await ingest(warehouse, random_circle(15))
    await rows.build(plan(), build_id)
    paged: list[MemberRow] = []
    while page := await rows.page(
        build_id, None, (paged[-1].net_spend_minor, paged[-1].member_id) if paged else None, 7
    ):
        paged += page
    assert paged == sorted(paged, key=lambda row: (-row.net_spend_minor, row.member_id))
    assert len({row.member_id for row in paged}) == (await rows.contents(build_id)).member_count


async def test_movements_add_up_to_both_snapshots(warehouse: Warehouse) -> None:
    rows, build_ids = SnapshotWarehouse(warehouse, MOSCOW), [uuid4(), uuid4()]
    await ingest(warehouse, random_circle(16))
    await rows.build(plan(cutoff=CUTOFF - 90 * DAY, window_days=60), build_ids[0])
    await rows.build(plan(window_days=60), build_ids[1])
    movements = await rows.movements(*build_ids)
    for side, build_id in (("from_segment", build_ids[0]), ("to_segment", build_ids[1])):
        for figures in await rows.summary(build_id):
            went = sum(each.member_count for each in movements if getattr(each, side) is figures.segment)
            assert went == figures.member_count
    assert any(each.from_segment is None for each in movements)
    assert any(each.to_segment is None for each in movements)
