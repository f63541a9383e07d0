"""The end of every crash test: the import is sent again from the start, and both stores hold its rows once."""

from pathlib import Path

from svoykrug.analytics.v1.analytics_service_pb2 import GetFreshnessRequest, GetFreshnessResponse
from svoykrug.analytics.v1.scope_pb2 import StoreTotals
from svoykrug.purchases.v1.purchases_service_pb2 import ImportPurchasesResponse

from svoykrug_client import Client, ServiceKey
from svoykrug_server.storage.postgres import Postgres
from tests.crash.own_rows import BATCH_ROWS, OwnCircle, Totals
from tests.crash.server_process import command
from tests.crash.stores_seen import entry_ids, ledger_totals, warehouse_totals
from tests.waiting import until

_SHIPPED_SECONDS = 30.0
_SCOPES = ("purchases.read", "purchases.write", "analytics.read", "analytics.write", "operations.read")


async def service_key(data_dir: Path, name: str = "crash") -> ServiceKey:
    """Makes the service account that imports, or another one of its kind."""
    key_file, scopes = data_dir.parent / f"{name}.json", [part for scope in _SCOPES for part in ("--scope", scope)]
    await command(data_dir, "keys", "create-service-account", name, *scopes, "--key-file", str(key_file))
    return ServiceKey.from_file(key_file)


async def settled_freshness(client: Client) -> GetFreshnessResponse:
    """Waits until everything is shipped and proven, and returns what GetFreshness says of both stores."""
    seen: list[GetFreshnessResponse] = []

    async def is_settled() -> bool:
        seen.append(await client.analytics.GetFreshness(GetFreshnessRequest()))
        return (seen[-1].waiting_count, seen[-1].unproven_day_count) == (0, 0)

    await until(is_settled, _SHIPPED_SECONDS)
    return seen[-1]


def check_answer(answer: ImportPurchasesResponse, batches: int) -> None:
    """Asserts that the import took every row, as new or as there already."""
    rows = batches * BATCH_ROWS
    assert (answer.received_count, answer.rejected_count) == (rows, 0)
    assert answer.recorded_count + answer.duplicate_count == rows


async def check_freshness(fresh: GetFreshnessResponse, circle: OwnCircle, batches: int, postgres: Postgres) -> Totals:
    """Asserts that GetFreshness calls both stores equal, and equal to the test's own rows; returns the totals."""
    own = circle.totals(batches, await entry_ids(postgres))
    expected = StoreTotals(entry_count=own.rows, sum_minor=own.sum_minor, hash=own.hash)
    assert fresh.equal
    assert (fresh.postgres, fresh.clickhouse, fresh.disputed_day_count) == (expected, expected, 0)
    assert await ledger_totals(postgres) == own
    return own


async def check_warehouse(data_dir: Path, own: Totals) -> None:
    """Asserts that the folder's ClickHouse, whose server has stopped, holds each row once."""
    assert await warehouse_totals(data_dir) == own
