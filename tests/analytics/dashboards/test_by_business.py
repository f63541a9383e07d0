"""The ledger's copy in the order of businesses: a small business is read in it, and it says what the rows say."""

from datetime import date
from uuid import UUID

from svoykrug_server.analytics.dashboards.statements import ENTRIES_OF_BUSINESS
from svoykrug_server.purchases.store_totals import BusinessDay
from svoykrug_server.purchases.warehouse import PurchaseWarehouse
from svoykrug_server.storage.warehouse import Warehouse

SMALL, LARGE = UUID(int=1), UUID(int=2)
DAYS = 31

# One purchase in a thousand is the small business's: two on each day of May, and 2,000 of the other.
MAKE = """
    INSERT INTO purchases
    SELECT toUUID(concat('00000000-0000-0000-0000-', leftPad(hex(number + 1), 12, '0'))) AS id, id,
        if(number % 1000 = 0, {small:UUID}, {large:UUID}), toInt64(cityHash64(number) % 9223372036854775807),
        'purchase', 100, 'RUB',
        toDateTime64('2026-05-01 12:00:00', 6, 'UTC') + toIntervalDay(intDiv(number, 1000) % 31) AS bought, bought, 0, 1
    FROM numbers(62000)
"""


async def made(warehouse: Warehouse) -> None:
    await warehouse.command(MAKE, {"small": SMALL, "large": LARGE})


async def entries(warehouse: Warehouse, business_id: UUID, settings: str = "") -> int:
    rows = await warehouse.query(f"{ENTRIES_OF_BUSINESS} {settings}", {"business_id": business_id})
    return int(rows[0][0])


async def reads_copy(warehouse: Warehouse) -> bool:
    """Whether the entries of the small business are read in the order of businesses."""
    plan = await warehouse.query(f"EXPLAIN {ENTRIES_OF_BUSINESS}", {"business_id": SMALL})
    return any("by_business" in line for (line,) in plan)


async def test_a_small_business_is_read_in_the_order_of_businesses(warehouse: Warehouse) -> None:
    await made(warehouse)
    assert await reads_copy(warehouse)
    assert await entries(warehouse, SMALL) == 2 * DAYS
    assert await entries(warehouse, LARGE) == 62_000 - 2 * DAYS


async def test_what_a_repair_deletes_is_in_no_order(warehouse: Warehouse) -> None:
    """The engine would leave the rows of a light deletion in a copy that it kept."""
    await made(warehouse)
    copy = PurchaseWarehouse(warehouse, "UTC")
    await copy.delete_day(BusinessDay(SMALL, date(2026, 5, 9)), 1)
    await copy.delete_day(BusinessDay(LARGE, date(2026, 5, 9)), 1)
    for _ in range(2):
        for business_id, count in ((SMALL, 2 * DAYS - 2), (LARGE, 62_000 - 2 * DAYS - 1_998)):
            assert await entries(warehouse, business_id) == count
            assert await entries(warehouse, business_id, "SETTINGS optimize_use_projections = 0") == count
        await warehouse.command("OPTIMIZE TABLE purchases FINAL")
    assert await reads_copy(warehouse)
