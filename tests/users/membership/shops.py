"""Businesses where the members of a test buy, through the services that real purchases come through."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from uuid import UUID, uuid4

from svoykrug_server.purchases.imports import ImportBatch
from svoykrug_server.purchases.model import NewRefund, PurchaseRows, us_of_instant
from tests.purchases.circle import IMPORTER, Circle

_names = count(1)
_receipts = count(1)


@dataclass(frozen=True, slots=True)
class Shop:
    """A business of a test."""

    id: UUID
    category: str
    sensitive: bool


class Shops:
    """Sells at businesses of every category."""

    def __init__(self, circle: Circle) -> None:
        self.circle = circle

    async def open(self, category: str, *, sensitive: bool = False) -> Shop:
        """Adds a business."""
        shop = Shop(uuid4(), category, sensitive)
        async with self.circle.postgres.transaction() as tx:
            driver = await tx.driver()
            await driver.execute(
                "INSERT INTO businesses (id, name, category, sensitive, status, create_time, update_time) "
                "VALUES ($1, $2, $3, $4, 'active', $5, $5)",
                shop.id,
                f"Shop {next(_names)}",
                category,
                sensitive,
                self.circle.clock.now(),
            )
        return shop

    async def sell(self, shop: Shop, user_id: UUID, amount_minor: int, at: datetime | None = None) -> str:
        """Records one purchase and returns its external id."""
        return (await self.import_all(shop, [(user_id, amount_minor, at or self.circle.clock.now())]))[0]

    async def import_all(self, shop: Shop, sales: Sequence[tuple[UUID, int, datetime]]) -> list[str]:
        """Imports purchases, each a buyer, an amount and a time, and returns their external ids."""
        receipts = [f"receipt-{next(_receipts)}" for _ in sales]
        rows = PurchaseRows(
            numbers=range(len(sales)),
            external_ids=receipts,
            user_ids=[str(user_id) for user_id, _, _ in sales],
            phones=[""] * len(sales),
            amounts_minor=[amount_minor for _, amount_minor, _ in sales],
            currency_codes=[""] * len(sales),
            times_us=[us_of_instant(at) for _, _, at in sales],
        )

        async def stream() -> AsyncIterator[ImportBatch]:
            yield ImportBatch(shop.id, rows)

        outcome = (await self.circle.imports.run(IMPORTER, self.circle.imports.new_id(), stream())).outcome
        assert outcome.recorded_count == len(sales), outcome
        return receipts

    async def give_back(self, shop: Shop, receipt: str, amount_minor: int, at: datetime | None = None) -> None:
        """Refunds a part of a purchase."""
        refund = NewRefund(
            purchase_id=None,
            purchase_external_id=receipt,
            external_id=f"refund-{next(_receipts)}",
            amount_minor=amount_minor,
            currency_code="",
            refund_time=at or self.circle.clock.now(),
        )
        await self.circle.refunds.refund(IMPORTER, shop.id, refund)
