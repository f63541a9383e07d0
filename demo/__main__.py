"""Runs the demo: `make demo`."""

import asyncio
import signal
import socket
import sys
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from google.type.date_pb2 import Date
from svoykrug.analytics.v1.analytics_service_pb2 import (
    DayComparison,
    GetFreshnessRequest,
    GetFreshnessResponse,
    GetSegmentMovementsRequest,
    GetSegmentSummaryRequest,
)

from demo import analysis, circle, pictures, report
from demo.console import StepTimes, bar, console
from demo.service import running, service_client, signed_in_admin
from demo.source import CURRENCY_CODE, receipts
from svoykrug_client import Client

if TYPE_CHECKING:
    import pandas as pd

_FOLDER = Path("demo-data").resolve()
_REPORT = Path("demo-report").resolve()
_EQUAL_SECONDS = 120.0


def main() -> None:
    """Runs every step and leaves the report."""
    _REPORT.mkdir(exist_ok=True)
    times = StepTimes()
    with times.step("reading the purchases of Complete Journey"):
        table = receipts()
    target = f"127.0.0.1:{_free_port()}"
    asyncio.run(_run(target, table, times))


async def _run(target: str, table: "pd.DataFrame", times: StepTimes) -> None:
    with times.step("starting the service in a folder of its own"):
        context = running(_FOLDER, target)
        service_process = await context.__aenter__()
    try:
        with times.step("signing in an admin by code and a service by key"):
            admin, service = await signed_in_admin(service_process), await service_client(service_process)
        async with admin, service:
            await _show(admin, service, table, times)
    finally:
        await context.__aexit__(None, None, None)


async def _show(admin: Client, service: Client, table: "pd.DataFrame", times: StepTimes) -> None:
    business_ids, households, fresh = await _fill(admin, service, table, times)
    snapshots_new = await _segments(service, times)
    gate, model_new = await _churn(service, table, households, times)
    with times.step("refunding a stated, seeded 1 % of the receipts, made up by the demo"):
        refunds_new, _ = await circle.refund_some(service, business_ids, table)
    with times.step("proving both stores equal again"):
        freshness = await _equal(service)
        report.print_stores(freshness)
    with times.step("drawing revenue by week and business"):
        await _revenue(service, business_ids)
    raw_sum_minor = int(table["amount_minor"].sum())
    refunds = {
        "count": freshness.postgres.entry_count - len(table),
        "sum_minor": freshness.postgres.sum_minor - raw_sum_minor,
    }
    report.write_report(_REPORT / "report.json", freshness, refunds, gate, times.seconds)
    _say_what_changed(fresh or snapshots_new or model_new or bool(refunds_new))


async def _fill(
    admin: Client, service: Client, table: "pd.DataFrame", times: StepTimes
) -> tuple[dict[str, str], dict[str, int], bool]:
    with times.step("creating the partner businesses and the members"):
        business_ids = await circle.create_businesses(admin)
        user_ids, created = await circle.create_members(
            service, sorted(int(each) for each in table["household"].unique())
        )
        console.print(f"  {len(business_ids)} businesses, {len(user_ids):,} members, {created:,} of them new")
    with times.step("importing a year of purchases through the API"):
        totals = await circle.import_receipts(service, business_ids, table, user_ids)
    if totals.rejected or totals.received != len(table):
        raise SystemExit(f"The import did not take every receipt: {totals}")
    per_second = totals.received / times.seconds["importing a year of purchases through the API"]
    console.print(f"  {totals.recorded:,} recorded, {totals.duplicate:,} there already, {per_second:,.0f} a second")
    with times.step("proving both stores equal"):
        report.print_stores(await _equal(service))
    return (
        business_ids,
        {user_id: household for household, user_id in user_ids.items()},
        bool(totals.recorded or created),
    )


async def _equal(service: Client) -> GetFreshnessResponse:
    """Waits until the warehouse has caught up and returns the proof.

    Raises:
        SystemExit: The stores are not equal once everything is proven, or the relay is too slow.
    """
    async with asyncio.timeout(_EQUAL_SECONDS):
        while True:
            freshness = await service.analytics.GetFreshness(GetFreshnessRequest())
            if not (freshness.waiting_count or freshness.unproven_day_count):
                break
            await asyncio.sleep(0.1)
    if not freshness.equal:
        raise SystemExit(f"The stores are not equal: {freshness}")
    return freshness


async def _segments(service: Client, times: StepTimes) -> bool:
    with times.step("taking snapshots at two cutoffs"):
        earlier, earlier_new = await analysis.snapshot_at(service, analysis.EARLIER_CUTOFF)
        later, later_new = await analysis.snapshot_at(service, analysis.CUTOFF)
    summary = await service.analytics.GetSegmentSummary(GetSegmentSummaryRequest(snapshot_id=later.id))
    report.print_segments(later, summary.segments)
    request = GetSegmentMovementsRequest(from_snapshot_id=earlier.id, to_snapshot_id=later.id)
    report.print_movements((await service.analytics.GetSegmentMovements(request)).movements, earlier, later)
    pictures.segments(_REPORT / "segments.png", summary.segments, f"{analysis.CUTOFF:%d %B %Y}", CURRENCY_CODE)
    return earlier_new or later_new


async def _churn(
    service: Client, table: "pd.DataFrame", households: dict[str, int], times: StepTimes
) -> tuple[analysis.Gate, bool]:
    with times.step("training a churn model"):
        model, new = await analysis.churn_model(service)
    with times.step("promoting it and scoring the members: a backtest, as the year is past"):
        scores = await analysis.scores(service, model)
    probabilities = analysis.probabilities_by_household(scores, households)
    gate = analysis.gate(table, probabilities)
    report.write_scores(_REPORT / "churn_scores.csv", probabilities)
    if failures := gate.failures():
        raise SystemExit("The gate is not reached: " + "; ".join(failures))
    report.print_model_card(model, gate)
    report.print_at_risk(scores, households)
    pictures.calibration(_REPORT / "calibration.png", model)
    said, spend = [score.probability for score in scores], [score.net_spend_minor for score in scores]
    pictures.churn_risk(_REPORT / "churn_risk.png", said, spend, CURRENCY_CODE)
    return gate, new


async def _all_days(service: Client, request: GetFreshnessRequest) -> list[DayComparison]:
    days: list[DayComparison] = []
    while True:
        page = await service.analytics.GetFreshness(request)
        days += page.days
        if not page.next_page_token:
            return days
        request.page_token = page.next_page_token


async def _revenue(service: Client, business_ids: dict[str, str]) -> None:
    import pandas as pd  # noqa: PLC0415  # see source.receipts

    names = {business_id: name for name, business_id in business_ids.items()}
    firsts = [*(date(2017, month, 1) for month in range(1, 13)), date(2018, 1, 1)]
    days: list[DayComparison] = []
    with bar("reading both stores month by month", len(firsts) - 1) as advance:
        for first, following in pairwise(firsts):
            request = GetFreshnessRequest(from_date=_date(first), to_date=_date(following), page_size=1_000)
            days += await _all_days(service, request)
            advance(1)
    frame = pd.DataFrame(
        {
            "day": pd.to_datetime([f"{row.date.year}-{row.date.month}-{row.date.day}" for row in days]),
            "business": [names[row.business_id] for row in days],
            "net_minor": [row.clickhouse.sum_minor for row in days],
        }
    )
    frame["week"] = frame["day"] - pd.to_timedelta(frame["day"].dt.day_of_week, unit="D")
    weekly = frame.pivot_table(index="week", columns="business", values="net_minor", aggfunc="sum", fill_value=0)
    # The first and the last week are cut by the year's ends.
    pictures.revenue(_REPORT / "revenue.png", weekly.iloc[1:-1], CURRENCY_CODE)


def _say_what_changed(changed: bool) -> None:
    console.print(f"\nReport, scores and pictures are in [bold]{_REPORT.name}/[/].")
    if not changed:
        console.print("[bold]This was run before: nothing was created, imported, computed or refunded anew.[/]")


def _date(day: date) -> Date:
    return Date(year=day.year, month=day.month, day=day.day)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        console.print("\nInterrupted. What was imported stays: `make demo` goes on from there.")
        sys.exit(128 + signal.SIGINT)
