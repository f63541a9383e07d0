"""What the doctor asks of both stores: facts as JSON values, or what is wrong in plain words."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import DomainError
from svoykrug_server.storage import outbox
from svoykrug_server.storage.migrate import MIGRATIONS, newest_number, postgres_state
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse

ANSWER_SECONDS = 5.0
"""A store that is silent for longer is said not to answer."""

Facts = dict[str, Any]


async def examine_postgres(postgres: Postgres, clock: Clock) -> Facts:
    """Returns version, size, migrations and backlog of PostgreSQL, or `problem`."""
    return await _answered("PostgreSQL", lambda: _postgres_facts(postgres, clock))


async def examine_warehouse(warehouse: Warehouse) -> Facts:
    """Returns version, size and migrations of ClickHouse, or `problem`."""
    return await _answered("ClickHouse", lambda: _warehouse_facts(warehouse))


async def _answered(store: str, ask: Callable[[], Awaitable[Facts]]) -> Facts:
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await ask()
    except DomainError as error:
        return {"problem": f"{store} cannot be reached ({error.reason})"}
    except TimeoutError:
        return {"problem": f"{store} did not answer within {ANSWER_SECONDS:.0f} s"}


async def _postgres_facts(postgres: Postgres, clock: Clock) -> Facts:
    state = await postgres_state(postgres)
    async with postgres.read() as connection:
        # Which version runs, and how much disk does our database take?
        row = await connection.fetchrow(
            "SELECT current_setting('server_version') AS version, pg_database_size(current_database()) AS size_bytes"
        )
        facts: Facts = {"applied": state.applied, "newest": state.newest, **dict(row or {})}
        if not state.is_current:
            return facts
        backlog = await outbox.backlog(connection)
        # On how many days do the stores disagree?
        disputed = await connection.fetchval("SELECT count(*) FROM proven_days WHERE disputed_since_time IS NOT NULL")
        # How many snapshots and scorings has the warehouse lost: being made again, and for good?
        lost = await connection.fetchrow(
            "SELECT count(*) FILTER (WHERE lost_time IS NULL) AS missing, count(lost_time) AS lost FROM ("
            " SELECT lost_time FROM snapshots WHERE missing_since_time IS NOT NULL"
            " UNION ALL SELECT lost_time FROM churn_scorings WHERE missing_since_time IS NOT NULL) AS gone"
        )
    oldest = backlog.oldest_record_time
    facts["waiting_entries"] = backlog.waiting_count
    facts["lag_seconds"] = 0.0 if oldest is None else max(0.0, (clock.now() - oldest).total_seconds())
    facts["watermark"] = None if backlog.watermark is None else backlog.watermark.isoformat()
    facts["disputed_days"] = disputed
    facts["missing_results"], facts["lost_results"] = lost or (0, 0)
    return facts


async def _warehouse_facts(warehouse: Warehouse) -> Facts:
    # Which version runs, and how much disk do our tables take?
    rows = await warehouse.query(
        "SELECT version(), (SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = currentDatabase())"
    )
    # Which migration was applied last?
    applied = await warehouse.query("SELECT max(version) FROM schema_migrations")
    return {
        "version": rows[0][0],
        "size_bytes": int(rows[0][1]),
        "applied": applied[0][0],
        "newest": newest_number(MIGRATIONS / "clickhouse"),
    }
