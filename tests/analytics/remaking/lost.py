"""Rows that the warehouse loses in tests, and the job that makes them again."""

from collections.abc import Awaitable
from datetime import timedelta
from uuid import UUID

import pytest
from prometheus_client import CollectorRegistry

from svoykrug_server.analytics.churn.composition import Churn, compose_churn
from svoykrug_server.analytics.remaking.composition import compose_remaking
from svoykrug_server.analytics.remaking.job import Remaking
from svoykrug_server.analytics.standing import REMAKING_DELAY
from svoykrug_server.kit.errors import DomainError, FailedPrecondition, Unavailable
from svoykrug_server.kit.paging import PageTokens
from tests.analytics.circles import CUTOFF
from tests.analytics.snapshots import MOSCOW, Analytics

EARLIER = CUTOFF - timedelta(days=45)
"""The cutoff of the earlier snapshot."""
BEING_REMADE = ("RESULT_BEING_REMADE", REMAKING_DELAY)


class Proof:
    """Says that everything was compared."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def touch_scope(self, business_id: UUID | None) -> None:
        """Remembers whose days are to be read again."""
        self.asked.append(f"touch_scope {business_id}")

    async def prove_changed(self) -> None:
        """Remembers that what is to be read was."""
        self.asked.append("prove_changed")


class Remakers:
    """Processes that make rows again.

    Args:
        analytics: The circle.
        churn: Its churn; without it, of its own.
    """

    def __init__(self, analytics: Analytics, churn: Churn | None = None) -> None:
        self.analytics, self.proof = analytics, Proof()
        self.registry = CollectorRegistry()
        self._churn = churn or self._own_churn()

    def job(self) -> Remaking:
        """Returns the job of a process that begins."""
        self.registry = CollectorRegistry()
        circle = self.analytics
        return compose_remaking(
            circle.postgres,
            circle.warehouse,
            MOSCOW,
            self._churn,
            circle.proofs,
            self.proof,
            circle.clock,
            self.registry,
            0.01,
        )

    def metric(self, name: str, kind: str = "snapshot") -> float:
        """Returns a metric of the newest job."""
        return self.registry.get_sample_value(f"analytics_results_{name}", {"kind": kind}) or 0.0

    def _own_churn(self) -> Churn:
        circle = self.analytics
        stores = (circle.postgres, circle.warehouse, MOSCOW, circle.proofs, circle.proofs, circle.operations)
        return compose_churn(*stores, PageTokens(bytes(32)), circle.clock, CollectorRegistry())


async def lose(analytics: Analytics, table: str = "snapshot_members") -> None:
    """Loses all rows of a table."""
    await analytics.warehouse.command(f"TRUNCATE TABLE {table}")


async def lose_one(analytics: Analytics, table: str = "snapshot_members") -> None:
    """Loses of each build the row of the member with the highest number."""
    last = f"SELECT build_id, max(member_id) FROM {table} GROUP BY build_id"  # noqa: S608  a name of ours
    sql = f"DELETE FROM {table} WHERE (build_id, member_id) IN ({last})"  # noqa: S608  as above
    await analytics.warehouse.command(sql)


async def put_away(analytics: Analytics, table: str, rows: str = "") -> None:
    """Puts an empty table, or one with these rows, in the place of a table; `exchange` brings it back.

    Args:
        analytics: The circle.
        table: The table.
        rows: A SELECT; empty for none.
    """
    await analytics.warehouse.command(f"CREATE TABLE put_away AS {table}")
    if rows:
        await analytics.warehouse.command(f"INSERT INTO put_away {rows}")
    await exchange(analytics, table)


async def exchange(analytics: Analytics, table: str) -> None:
    """Exchanges a table and the one that is put away."""
    await analytics.warehouse.command(f"EXCHANGE TABLES {table} AND put_away")


async def refusal_of(call: Awaitable[object]) -> tuple[str, timedelta | None]:
    """Returns why a call was refused, and when to repeat it."""
    with pytest.raises(DomainError) as refused:
        await call
    assert isinstance(refused.value, Unavailable | FailedPrecondition)
    return refused.value.reason, refused.value.retry_after


async def loss_of(call: Awaitable[object]) -> str:
    """Returns why rows that a call asks for are lost for good."""
    with pytest.raises(FailedPrecondition) as refused:
        await call
    assert refused.value.reason == "RESULT_LOST"
    assert refused.value.metadata["lost_time"]
    return refused.value.metadata["lost_reason"]
