"""Complete Journey in a circle's warehouse: every receipt, as the import of a partner's history leaves it."""

from uuid import UUID, uuid5

import numpy as np

from demo.source import receipts
from tests.analytics.churn.circle import Circle, fill, purchases_table

NAMESPACE = UUID(int=0xC0FFEE)


async def import_complete_journey(circle: Circle) -> None:
    """Puts every receipt into the warehouse; households get random member ids."""
    table = receipts()
    random = np.random.default_rng(5)
    households = np.unique(table["household"])
    member_ids = random.integers(1, 2**63 - 1, len(households))[np.searchsorted(households, table["household"])]
    businesses = {name: uuid5(NAMESPACE, name).bytes for name in table["partner"].unique()}
    times = table["purchase_time"].dt.tz_localize("UTC")
    rows = purchases_table(
        member_ids.tolist(),
        times.astype("datetime64[us, UTC]"),
        table["amount_minor"].to_numpy(),
        business_ids=[businesses[name] for name in table["partner"]],
    )
    await fill(circle.warehouse, rows)
