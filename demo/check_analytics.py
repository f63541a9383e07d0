"""Checks the figures of analytics on Complete Journey: `python -m demo.check_analytics`.

The purchases go through the API into a service in a folder of its own, that of `make demo` unless another is named.
Then RFM, segments, movements, dashboards, cohorts and the cross-business matrix are asked for through the API and
computed once more in pandas from the raw purchases. It prints what was compared, and fails when one value differs.
"""

import argparse
import asyncio
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from svoykrug.analytics.v1.analytics_service_pb2 import GetFreshnessRequest

from demo import circle
from demo.comparison import WITHIN_DAYS, ZONE, Compared, Comparison, total
from demo.console import StepTimes, bar, console
from demo.service import running, service_client, signed_in_admin
from demo.source import receipts
from svoykrug_client import Client
from tests.analytics.dashboards.oracle import with_days
from tests.analytics.oracle import LEDGER

if TYPE_CHECKING:
    import pandas as pd

_SHIPPED_SECONDS = 120.0


def main() -> None:
    """Fills the service, compares, prints, and fails when one value differs."""
    parser = argparse.ArgumentParser(description="Checks the figures of analytics on Complete Journey with pandas.")
    parser.add_argument("--folder", type=Path, default=Path("demo-data"), help="the service's data folder")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    rows = asyncio.run(_run(folder.resolve()))
    _print(rows)
    if different := sum(not row.equal for row in rows):
        raise SystemExit(f"{different} of {len(rows)} comparisons differ.")
    console.print(f"All {sum(row.value_count for row in rows):,} values of {len(rows)} comparisons are equal.")


def _print(rows: list[Compared]) -> None:
    table = Table("figure", "values", "sum of ours", "sum of pandas", "equal", title="Analytics of Complete Journey")
    for row in rows:
        equal = "yes" if row.equal else "[bold red]NO[/]"
        table.add_row(row.figure, f"{row.value_count:,}", f"{total(row.ours):,}", f"{total(row.pandas):,}", equal)
    console.print(table)


async def _run(folder: Path) -> list[Compared]:
    times = StepTimes()
    async with running(folder, f"127.0.0.1:{_free_port()}") as process:
        admin, service = await signed_in_admin(process), await service_client(process)
        async with admin, service:
            with times.step("bringing a year of purchases and the demo's refunds into the service"):
                comparison, business_ids = await _fill(admin, service)
            with times.step("asking the service and pandas"):
                return await _compare(comparison, {"circle": "", **business_ids})


async def _compare(comparison: Comparison, scopes: Mapping[str, str]) -> list[Compared]:
    rows: list[Compared] = []
    with bar("comparing scopes", len(scopes)) as advance:
        for name, business_id in scopes.items():
            rows += await comparison.scope(name, business_id)
            advance(1)
    return rows + [await comparison.matrix(within_days) for within_days in WITHIN_DAYS]


async def _fill(admin: Client, service: Client) -> tuple[Comparison, dict[str, str]]:
    """Brings every receipt and refund into the service, and waits until the warehouse holds them."""
    table = receipts()
    business_ids = await circle.create_businesses(admin)
    user_ids, _ = await circle.create_members(service, sorted(int(each) for each in table["household"].unique()))
    totals = await circle.import_receipts(service, business_ids, table, user_ids)
    if totals.recorded + totals.duplicate != len(table):
        raise SystemExit(f"The import did not take every receipt: {totals}")
    await circle.refund_some(service, business_ids, table)
    async with asyncio.timeout(_SHIPPED_SECONDS):
        while True:
            freshness = await service.analytics.GetFreshness(GetFreshnessRequest())
            if not (freshness.waiting_count or freshness.unproven_day_count):
                break
            await asyncio.sleep(0.1)
    households = {user_id: household for household, user_id in user_ids.items()}
    return Comparison(service, households, with_days(_ledger(table, business_ids), ZONE)), business_ids


def _ledger(table: "pd.DataFrame", business_ids: Mapping[str, str]) -> "pd.DataFrame":
    """Returns the raw receipts and the demo's refunds as the oracles read them."""
    import pandas as pd  # noqa: PLC0415  # see source.receipts

    given_back = circle.refunded(table)
    given_back = given_back.assign(amount_minor=-given_back["amount_minor"], purchase_time=given_back["refund_time"])
    rows = pd.concat([table.assign(kind="purchase"), given_back.assign(kind="refund")], ignore_index=True)
    times = rows["purchase_time"].dt.tz_localize("UTC")
    return rows.assign(
        purchase_id=rows["partner"] + " " + rows["basket"].astype("str"),
        business_id=rows["partner"].map(business_ids),
        member_id=rows["household"],
        purchase_time=times,
        ingest_time=times,
        sensitive=False,
    )[LEDGER]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
