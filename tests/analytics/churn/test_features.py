"""The columns the warehouse gives, against their definitions in plain Python; `test_leaks` is about the future."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest

from svoykrug_server.analytics.churn.features import RAW
from svoykrug_server.analytics.churn.warehouse import ChurnWarehouse, Scope, blocks, sample
from svoykrug_server.storage.warehouse import Warehouse
from tests.analytics.churn.circle import ZONE, fill_entries
from tests.analytics.circles import BUSINESSES, SENSITIVE, WATERMARK, Entry, correction, purchase, random_circle

CUTOFF = datetime(2026, 3, 1, tzinfo=UTC)
HORIZON = 28
YEAR = 365
EVERYONE = sample(1.0)
BEGIN_TIMES = [None, CUTOFF - timedelta(days=90), WATERMARK]
"""Every business began before all purchases, amid them, or after all, so that their past was brought along."""
Row = dict[str, float]


def is_known(entry: Entry, begin_time: datetime | None) -> bool:
    """Tells whether an entry is known at the cutoff, where every business began at an instant, or before all."""
    brought_along = begin_time is not None and entry.purchase_time < begin_time and entry.ingest_time <= WATERMARK
    return entry.purchase_time <= CUTOFF and (entry.ingest_time <= CUTOFF or brought_along)


def counting(entries: Sequence[Entry], business_id: UUID | None) -> list[Entry]:
    """Returns the entries of a scope's purchases that count, if these are all that is known."""
    known = [
        entry for entry in entries if (not entry.sensitive if business_id is None else entry.business_id == business_id)
    ]
    corrected = {entry.purchase_id for entry in known if entry.kind != "purchase"}
    net = {pid: sum(each.amount_minor for each in known if each.purchase_id == pid) for pid in corrected}
    return [entry for entry in known if net.get(entry.purchase_id, 1) > 0]


def expected_row(entries: Sequence[Entry], cutoff: datetime) -> Row | None:
    """Returns the columns of one member by their definitions."""
    ever = [((cutoff.date() - entry.purchase_time.date()).days, entry) for entry in entries]
    of_the_year = {entry.purchase_id for day, entry in ever if day <= YEAR and entry.kind == "purchase"}
    ago = [(day, entry) for day, entry in ever if day <= YEAR and entry.purchase_id in of_the_year]
    days = sorted({day for day, entry in ago if entry.kind == "purchase"})
    if not days:
        return None
    gaps = [later - earlier for earlier, later in pairwise(days)]
    mean = sum(gaps) / len(gaps) if gaps else 0.0
    tenure, recency = max(day for day, entry in ever if entry.kind == "purchase"), days[0]
    periods = (min(max(tenure, 1), YEAR) - 1) // HORIZON + 1
    return {
        "recency_days": recency,
        "tenure_days": tenure,
        "purchase_days": len(days),
        "mean_gap_days": mean,
        "gap_deviation_days": math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) if gaps else 0.0,
        "recent_gap_days": sum(gaps[:5]) / len(gaps[:5]) if gaps else 0.0,
        "long_gap_count": sum(gap > HORIZON for gap in gaps),
        "outlasted_gap_count": sum(gap > recency for gap in gaps),
        "outlasted_horizon_gap_count": sum(gap > recency + HORIZON for gap in gaps),
        **{f"days_in_{name}": sum(day <= span for day in days) for name, span in SPANS.items()},
        "recent_weight": sum(math.exp(-day / HORIZON) for day in days),
        "lasting_weight": sum(math.exp(-day / (3 * HORIZON)) for day in days),
        "active_period_share": len({(max(day, 1) - 1) // HORIZON for day in days}) / periods,
        "active_quarter_count": len({(max(day, 1) - 1) // 7 for day in days if day <= 3 * HORIZON}),
        "business_count": len({entry.business_id for _, entry in ago if entry.kind == "purchase"}),
        "recent_business_count": len(
            {entry.business_id for day, entry in ago if entry.kind == "purchase" and day <= 2 * HORIZON}
        ),
        "spend_minor": sum(entry.amount_minor for _, entry in ago),
        "recent_spend_minor": sum(entry.amount_minor for day, entry in ago if day <= 4 * HORIZON),
        "last_year_days": sum(365 - HORIZON < day <= 365 for day in days),
        "net_spend_minor": sum(entry.amount_minor for _, entry in ago),
    }


SPANS = {"quarter_horizon": 7, "half_horizon": 14, "horizon": 28, "two_horizons": 56, "four_horizons": 112}


async def rows_of(
    warehouse: Warehouse,
    business_id: UUID | None = None,
    begin_time: datetime | None = None,
    population_days: int = 0,
) -> dict[int, Row]:
    """Returns the warehouse's columns by member.

    Args:
        warehouse: What holds the purchases.
        business_id: The scope.
        begin_time: When every business began; None for before all purchases.
        population_days: Who is read.
    """
    known = ChurnWarehouse(warehouse, ZONE)
    scope = Scope(business_id, WATERMARK, {} if begin_time is None else dict.fromkeys(BUSINESSES, begin_time))
    table = await known.window(scope, CUTOFF, HORIZON, population_days, EVERYONE)
    return {int(row.pop("member_id")): row for row in table.to_pylist()}


@pytest.mark.parametrize("business_id", [None, BUSINESSES[0], BUSINESSES[3]])
@pytest.mark.parametrize("begin_time", BEGIN_TIMES)
async def test_columns_equal_their_definitions_on_random_purchases(
    warehouse: Warehouse, business_id: UUID | None, begin_time: datetime | None
) -> None:
    entries = random_circle(11)
    await fill_entries(warehouse, entries)
    found = await rows_of(warehouse, business_id, begin_time)
    known = counting([entry for entry in entries if is_known(entry, begin_time)], business_id)
    expected = {
        member_id: row
        for member_id in {entry.member_id for entry in known}
        if (row := expected_row([entry for entry in known if entry.member_id == member_id], CUTOFF)) is not None
    }
    assert found.keys() == expected.keys()
    for member_id, row in expected.items():
        assert {name: found[member_id][name] for name in row} == pytest.approx(row), member_id
        assert set(RAW) <= found[member_id].keys()


async def test_labels_say_who_bought_within_the_horizon_and_kept_it(warehouse: Warehouse) -> None:
    entries = random_circle(12)
    await fill_entries(warehouse, entries)
    found = await rows_of(warehouse, begin_time=WATERMARK)
    end = CUTOFF + timedelta(days=HORIZON)
    later = [
        entry
        for entry in counting(
            [each for each in entries if each.purchase_time > CUTOFF and each.ingest_time <= WATERMARK], None
        )
        if entry.kind == "purchase" and entry.purchase_time <= end
    ]
    buyers = {entry.member_id for entry in later}
    assert {member_id: row["churned"] for member_id, row in found.items()} == {
        member_id: float(member_id not in buyers) for member_id in found
    }
    assert 0 < sum(row["churned"] for row in found.values()) < len(found)
    days = {member_id: {e.purchase_time.date() for e in later if e.member_id == member_id} for member_id in found}
    assert {member_id: row["later_days"] for member_id, row in found.items()} == {
        member_id: float(len(each)) for member_id, each in days.items()
    }


async def test_what_was_spent_later_is_net_of_what_was_given_back_within_the_horizon(warehouse: Warehouse) -> None:
    later = CUTOFF + timedelta(days=3)
    kept, returned = purchase(2, 1, 500, later), purchase(3, 1, 700, later)
    await fill_entries(
        warehouse,
        [
            purchase(1, 1, 100, CUTOFF - timedelta(days=3)),
            kept,
            returned,
            correction(4, kept, "refund", 200, timedelta(days=1), timedelta(0)),
            correction(5, returned, "refund", 700, timedelta(days=1), timedelta(0)),
            purchase(6, 1, 50, later + timedelta(days=2)),
            purchase(7, 1, 900, CUTOFF + timedelta(days=HORIZON, hours=1)),
        ],
    )
    found = (await rows_of(warehouse))[1]
    assert (found["later_days"], found["later_spend_minor"], found["churned"]) == (2.0, 350.0, 0.0)


async def test_a_purchase_at_the_cutoff_is_known_and_the_last_moment_of_the_horizon_counts(
    warehouse: Warehouse,
) -> None:
    end = CUTOFF + timedelta(days=HORIZON)
    moment = timedelta(microseconds=1)
    await fill_entries(
        warehouse,
        [
            purchase(1, 1, 100, CUTOFF),
            purchase(2, 2, 100, CUTOFF - timedelta(days=3)),
            purchase(3, 2, 100, end, ingest_time=end),
            purchase(4, 3, 100, CUTOFF - timedelta(days=3)),
            purchase(5, 3, 100, end + moment),
            purchase(6, 4, 100, CUTOFF + moment),
        ],
    )
    found = await rows_of(warehouse)
    assert {member_id: row["churned"] for member_id, row in found.items()} == {1: 1.0, 2: 0.0, 3: 1.0}


def features_of(rows: dict[int, Row]) -> dict[int, Row]:
    """Returns rows without their labels."""
    return {member_id: {name: row[name] for name in (*RAW, "net_spend_minor")} for member_id, row in rows.items()}


async def recency_days(warehouse: Warehouse, business_id: UUID | None = None) -> dict[int, float]:
    """Returns how long ago each member bought, as the product knows it at the cutoff."""
    known = ChurnWarehouse(warehouse, ZONE)
    scope = await known.scope(business_id, WATERMARK)
    rows = (await known.window(scope, CUTOFF, HORIZON, 0, EVERYONE)).to_pylist()
    assert await known.member_count(scope, CUTOFF) == len(rows)
    return {row["member_id"]: row["recency_days"] for row in rows}


async def test_a_late_row_is_unknown_until_it_was_ingested(warehouse: Warehouse) -> None:
    early = CUTOFF - timedelta(days=40)
    late = purchase(2, 1, 100, CUTOFF - timedelta(days=2), ingest_time=CUTOFF + timedelta(days=1))
    await fill_entries(warehouse, [purchase(1, 1, 100, early), late])
    assert await recency_days(warehouse) == {1: 40}
    assert (await rows_of(warehouse, begin_time=WATERMARK))[1]["recency_days"] == 2


async def test_a_cutoff_before_the_first_ingestion_replays_the_imported_history(warehouse: Warehouse) -> None:
    imported = WATERMARK - timedelta(days=1)
    await fill_entries(warehouse, [purchase(1, 1, 100, CUTOFF - timedelta(days=5), ingest_time=imported)])
    assert await recency_days(warehouse) == {1: 5}


async def test_what_a_business_brings_along_is_known_as_if_it_had_been_there_and_what_it_sends_late_is_not(
    warehouse: Warehouse,
) -> None:
    first, joins = BUSINESSES[0], BUSINESSES[1]
    imported, day = CUTOFF + timedelta(days=20), timedelta(days=1)
    await fill_entries(
        warehouse,
        [
            purchase(1, 1, 100, CUTOFF - 300 * day, first),
            purchase(2, 1, 100, CUTOFF - 10 * day, first, ingest_time=imported),  # late
            purchase(3, 1, 100, CUTOFF - 60 * day, joins, ingest_time=imported),
            purchase(4, 2, 100, CUTOFF - 50 * day, joins, ingest_time=imported),
            purchase(5, 3, 100, CUTOFF + day, joins, ingest_time=imported),
        ],
    )
    assert await recency_days(warehouse) == {1: 60, 2: 50}
    assert await recency_days(warehouse, first) == {1: 300}
    assert await recency_days(warehouse, joins) == {1: 60, 2: 50}


async def test_old_purchases_that_come_after_a_business_began_are_known_up_to_its_beginning(
    warehouse: Warehouse,
) -> None:
    began, imported, day = CUTOFF - timedelta(days=30), WATERMARK - timedelta(days=1), timedelta(days=1)
    await fill_entries(
        warehouse,
        [
            purchase(1, 1, 100, began),
            purchase(2, 2, 100, began - day, ingest_time=imported),
            purchase(3, 3, 100, began, ingest_time=imported),
            purchase(4, 4, 100, CUTOFF - day, ingest_time=imported),
        ],
    )
    assert await recency_days(warehouse) == {1: 30, 2: 31}


async def test_the_circle_never_reads_a_sensitive_purchase(warehouse: Warehouse) -> None:
    secret = next(iter(SENSITIVE))
    await fill_entries(
        warehouse,
        [
            purchase(1, 1, 100, CUTOFF - timedelta(days=50)),
            purchase(2, 1, 900, CUTOFF - timedelta(days=2), secret),
            purchase(3, 1, 900, CUTOFF + timedelta(days=2), secret),
            purchase(4, 2, 900, CUTOFF - timedelta(days=2), secret),
        ],
    )
    found = await rows_of(warehouse)
    assert found.keys() == {1}
    assert found[1]["recency_days"] == 50
    assert found[1]["spend_minor"] == 100
    assert found[1]["churned"] == 1.0
    assert (await rows_of(warehouse, secret)).keys() == {1, 2}


async def test_a_purchase_given_back_in_full_leaves_every_column(warehouse: Warehouse) -> None:
    kept = purchase(1, 1, 500, CUTOFF - timedelta(days=60))
    returned = purchase(2, 1, 700, CUTOFF - timedelta(days=10))
    refund = correction(3, returned, "refund", 700, timedelta(days=1), timedelta(0))
    await fill_entries(warehouse, [kept, returned, refund])
    found = (await rows_of(warehouse))[1]
    assert (found["recency_days"], found["purchase_days"], found["spend_minor"]) == (60, 1, 500)


async def test_the_population_is_those_who_bought_lately(warehouse: Warehouse) -> None:
    entries = [purchase(number, number, 100, CUTOFF - timedelta(days=10 * number)) for number in range(1, 10)]
    await fill_entries(warehouse, entries)
    assert (await rows_of(warehouse, population_days=50)).keys() == {1, 2, 3, 4, 5}


def test_blocks_hold_every_member_id_exactly_once() -> None:
    edges = [(block.first_member_id, block.last_member_id) for block in blocks(7)]
    assert edges[0][0] == 0
    assert edges[-1][1] == 2**63 - 1
    assert all(first[1] + 1 == second[0] for first, second in pairwise(edges))
