"""Three random circles, each with every hard case: members, segments and movements equal pandas, to the kopeck.

Dashboards, cohorts and the matrix of the same circles in the same zones are in `dashboards/test_oracle.py`. The same
oracles check Complete Journey through the API: `python -m demo.check_analytics`.
"""

from datetime import timedelta
from itertools import pairwise
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from svoykrug_server.analytics.model import SnapshotPlan
from svoykrug_server.analytics.segments import Segment
from svoykrug_server.analytics.warehouse import SnapshotWarehouse
from svoykrug_server.storage.warehouse import Warehouse
from tests.analytics import oracle
from tests.analytics.circles import BUSINESSES, CUTOFF, WATERMARK, ingest, random_circle
from tests.analytics.dashboards.oracle import frame
from tests.analytics.dashboards.test_oracle import ZONES
from tests.analytics.test_warehouse import NAMES, assert_equal

DAY = timedelta(days=1)
CUTOFFS = (CUTOFF - 90 * DAY, CUTOFF)


def clock_changes(days: "pd.Series[pd.Timestamp]", zone: ZoneInfo) -> int:
    """Returns how many of some instants lie on a day on which the clocks of a zone change."""
    local = days.dt.tz_convert(zone)
    midnights = local.dt.normalize()
    return int(((midnights + pd.DateOffset(days=1)) - midnights != pd.Timedelta(days=1)).sum())


@pytest.mark.parametrize("seed", ZONES)
def test_a_random_circle_holds_every_hard_case(seed: int) -> None:
    entries = random_circle(seed)
    rows = frame(entries, ZONES[seed])
    given_back = rows[rows["kind"] == "refund"].groupby("purchase_id")["amount_minor"].agg(["sum", "size"])
    paid = rows[rows["kind"] == "purchase"].set_index("purchase_id")["amount_minor"]
    left = paid.reindex(given_back.index) + given_back["sum"]
    assert (left > 0).sum() > 10, "refunds of a part"
    assert (left == 0).sum() > 10, "refunds of the whole"
    assert ((left == 0) & (given_back["size"] > 1)).sum() > 10, "refunds of the whole in parts"
    assert (rows["kind"] == "reversal").sum() > 10, "corrections"
    assert (rows["sensitive"] & (rows["kind"] == "refund")).sum() > 10, "refunds at sensitive businesses"
    assert (paid == 0).sum() > 10, "receipts of 0.00"
    assert (rows["ingest_time"] > rows["purchase_time"] + 30 * DAY).sum() > 100, "late rows"
    assert sum(before.purchase_time > after.purchase_time for before, after in pairwise(entries)) > 100, "out of order"
    assert rows.duplicated(["business_id", "purchase_time"]).sum() > 10, "ties in time"
    assert rows.duplicated(["member_id", "amount_minor"]).sum() > 10, "ties in amount"
    assert (rows["day"] != rows["purchase_time"].dt.date).sum() > 100, "days that are others in UTC"
    if ZONES[seed].key != "Europe/Moscow":
        assert clock_changes(rows["purchase_time"], ZONES[seed]) > 0, "days on which the clocks change"


@pytest.mark.parametrize("seed", ZONES)
@pytest.mark.parametrize("business_id", [None, BUSINESSES[0], BUSINESSES[3]], ids=["circle", "business", "sensitive"])
async def test_members_segments_and_movements_equal_the_oracle(
    warehouse: Warehouse, seed: int, business_id: UUID | None
) -> None:
    entries, zone = random_circle(seed), ZONES[seed]
    await ingest(warehouse, entries)
    rows, ledger = SnapshotWarehouse(warehouse, zone), oracle.ledger(entries)
    build_ids, expected = [], []
    for cutoff in CUTOFFS:
        plan = SnapshotPlan(uuid4(), business_id, cutoff, 120, WATERMARK, "test")
        build_ids.append(uuid4())
        await rows.build(plan, build_ids[-1])
        members = sorted(await rows.page(build_ids[-1], None, None, 1_000), key=lambda row: row.member_id)
        expected.append(oracle.snapshot(ledger, business_id, cutoff, 120, WATERMARK, zone))
        assert_equal(members, expected[-1])
        assert await segments(rows, build_ids[-1]) == oracle.summary(expected[-1])
    assert await movements(rows, *build_ids) == oracle.movements(*expected)


async def segments(rows: SnapshotWarehouse, build_id: UUID) -> dict[str, tuple[int, int, int, int]]:
    """Returns the segments that are not empty as the oracle does."""
    return {
        NAMES[each.segment]: (
            each.member_count,
            each.net_spend_minor,
            each.purchase_count,
            round(each.mean_recency_days * each.member_count),
        )
        for each in await rows.summary(build_id)
        if each.member_count
    }


async def movements(rows: SnapshotWarehouse, earlier: UUID, later: UUID) -> dict[tuple[str, str], int]:
    """Returns the movements as the oracle does."""

    def name(segment: Segment | None) -> str:
        return "" if segment is None else NAMES[segment]

    return {
        (name(each.from_segment), name(each.to_segment)): each.member_count
        for each in await rows.movements(earlier, later)
    }
