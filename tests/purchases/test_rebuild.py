"""The warehouse dropped, in part or whole, and rebuilt: nobody is told that there are no purchases meanwhile."""

import asyncio
from uuid import UUID, uuid4

import pyarrow as pa
import pytest

from svoykrug_server.kit.errors import WarehouseUnavailable
from svoykrug_server.purchases.pipeline import Upkeep
from svoykrug_server.storage.migrate_warehouse import is_new, table_names
from tests.purchases.circle import Circle

DROPPED = ["DROP TABLE purchases SYNC", "DROP DATABASE `{database}` SYNC"]


async def bought(circle: Circle) -> UUID:
    """Ships five purchases in five batches; returns the business."""
    business_id, member = await circle.add_business(), await circle.add_member()
    for number in range(5):
        await circle.buy(business_id, member, f"receipt-{number}", 100)
        circle.pass_time()
        await circle.relay.step()
    return business_id


@pytest.mark.parametrize("drop", DROPPED, ids=["table", "database"])
async def test_what_was_dropped_is_unavailable_until_all_of_it_is_back(circle: Circle, drop: str) -> None:
    business_id = await bought(circle)
    before = await circle.warehouse_rows()
    await circle.warehouse.command(drop.format(database=circle.warehouse.database))
    insert, copied, go_on = circle.copy.insert_rebuilt, asyncio.Event(), asyncio.Event()

    async def insert_when_told(rows: pa.Table, deduplication_token: str) -> None:
        await insert(rows, deduplication_token)
        copied.set()
        await go_on.wait()

    circle.copy.insert_rebuilt = insert_when_told  # type: ignore[method-assign]  # the rebuild is looked at in its middle
    rebuilding = asyncio.create_task(circle.rebuild.run(uuid4()))
    await copied.wait()
    with pytest.raises(WarehouseUnavailable):
        await circle.warehouse_rows()
    await circle.buy(business_id, await circle.add_member(), "meanwhile", 100)
    with pytest.raises(WarehouseUnavailable):
        await circle.relay.step()
    go_on.set()
    await rebuilding

    assert await circle.warehouse_rows() == before
    await circle.relay.step()
    await circle.reconciler.step()
    assert await circle.warehouse_rows() == await circle.ledger()
    assert circle.metric("pipeline_mismatched_days_total") == 0


async def test_a_rebuilt_table_is_as_the_migrations_make_it(circle: Circle) -> None:
    await bought(circle)
    asked = "SHOW CREATE TABLE purchases"
    before = await circle.warehouse.query(asked)
    await circle.rebuild.run(uuid4())
    assert await circle.warehouse.query(asked) == before


def upkeep_of(circle: Circle) -> Upkeep:
    """Returns the upkeep of a process that is running."""
    return Upkeep(circle.postgres, circle.relay, circle.reconciler, circle.rebuild, 1.0)


async def tables(circle: Circle) -> set[str]:
    """Returns which tables there are."""
    return {name for (name,) in await circle.warehouse.query("SHOW TABLES")}


@pytest.mark.parametrize("drop", DROPPED, ids=["table", "database"])
async def test_what_was_dropped_under_a_running_process_is_back_after_a_round(circle: Circle, drop: str) -> None:
    await bought(circle)
    upkeep = upkeep_of(circle)
    await upkeep.round()
    before = await circle.warehouse_rows()
    await circle.warehouse.command(drop.format(database=circle.warehouse.database))
    with pytest.raises(WarehouseUnavailable):
        await circle.warehouse_rows()
    await upkeep.round()
    assert await circle.warehouse_rows() == before == await circle.ledger()
    assert await tables(circle) == table_names()
    # Whoever starts next does not take it for lost.
    seen: list[bool] = []
    await circle.warehouse.migrate(lambda client: seen.append(is_new(client)))
    assert seen == [False]


@pytest.mark.parametrize("table", sorted(table_names() - {"purchases"}))
async def test_another_table_that_was_dropped_is_made_again_and_purchases_stay(circle: Circle, table: str) -> None:
    await bought(circle)
    upkeep, asked = (
        upkeep_of(circle),
        "SELECT uuid FROM system.tables WHERE name = 'purchases' AND database = currentDatabase()",
    )
    await upkeep.round()
    before = await circle.warehouse.query(asked)
    await circle.warehouse.command(f"DROP TABLE {table} SYNC")
    await upkeep.round()
    assert await tables(circle) == table_names()
    assert await circle.warehouse.query(asked) == before


async def test_purchases_that_were_emptied_under_a_running_process_are_back_after_a_round(circle: Circle) -> None:
    await bought(circle)
    upkeep = upkeep_of(circle)
    await upkeep.round()
    before = await circle.warehouse_rows()
    await circle.warehouse.command("TRUNCATE TABLE purchases")
    await upkeep.round()
    assert await circle.warehouse_rows() == before
