"""The crash tests can fail: a batch that is shipped again without what keeps it single stands in ClickHouse twice."""

from datetime import datetime
from uuid import uuid4

import pyarrow as pa
import pytest

from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.kit.errors import WarehouseUnavailable
from svoykrug_server.purchases.warehouse import PurchaseWarehouse
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from tests.purchases.circle import TIME_ZONE, Circle

ROWS = 7


class FaultyCopy(PurchaseWarehouse):
    """ClickHouse's side of the relay, without one mitigation or both; the first insert ends in a crash.

    Args:
        warehouse: The analytics copy.
        keeps_token: Whether inserts carry the token that makes a repeated one do nothing.
        counts: Whether the relay is told what ClickHouse holds of a batch, and not what it hopes for.
    """

    def __init__(self, warehouse: Warehouse, *, keeps_token: bool, counts: bool) -> None:
        super().__init__(warehouse, TIME_ZONE)
        self._keeps_token = keeps_token
        self._counts = counts
        self._crashed = False
        self._hoped = (0, 0)

    async def insert(self, rows: pa.Table, deduplication_token: str) -> None:
        """Inserts rows, with the token or with one that nobody has seen."""
        self._hoped = (rows.num_rows, sum(rows["amount_minor"].to_pylist()))
        await super().insert(rows, deduplication_token if self._keeps_token else uuid4().hex)

    async def batch(self, batch_id: int, ingest_time: datetime) -> tuple[int, int]:
        """Fails the first time, after the insert and before the batch is marked shipped."""
        if not self._crashed:
            self._crashed = True
            raise WarehouseUnavailable
        return await super().batch(batch_id, ingest_time) if self._counts else self._hoped


@pytest.mark.parametrize(
    ("keeps_token", "counts", "copies"),
    [(False, False, 2), (True, False, 1), (False, True, 1), (True, True, 1)],
    ids=["neither", "token alone", "count alone", "both"],
)
async def test_a_batch_shipped_again_is_doubled_exactly_when_both_mitigations_are_gone(
    postgres: Postgres, warehouse: Warehouse, clock: ManualClock, keeps_token: bool, counts: bool, copies: int
) -> None:
    circle = Circle(postgres, warehouse, clock)
    circle.copy = FaultyCopy(warehouse, keeps_token=keeps_token, counts=counts)
    business_id, member = await circle.add_business(), await circle.add_member()
    for number in range(ROWS):
        await circle.buy(business_id, member, f"receipt-{number}", 1_000 + number)
    relay = circle.make_relay()
    with pytest.raises(WarehouseUnavailable):
        await relay.step()

    await relay.step()

    ledger, copied = await circle.ledger(), await circle.warehouse_rows()
    assert len(ledger) == ROWS
    assert copied == sorted(ledger * copies)
