"""Writes down one purchase: in one statement the usual one, by the way of many rows whatever is not."""

from uuid import UUID

from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.clock import Clock
from svoykrug_server.purchases.announcing import Announcer
from svoykrug_server.purchases.model import Purchase, PurchaseRows, WriteOutcome
from svoykrug_server.purchases.single_repository import SingleRepository
from svoykrug_server.purchases.writer import PurchaseWriter
from svoykrug_server.storage.postgres import Postgres


class SingleWriter:
    """Writes single rows whose buyer has a phone or a user id.

    Args:
        postgres: The system of record.
        singles: Writes the usual purchase.
        writer: Judges rows, and writes or refuses those that are not usual.
        clock: The time.
        announcer: Tells whoever follows the ledger.
    """

    def __init__(
        self, postgres: Postgres, singles: SingleRepository, writer: PurchaseWriter, clock: Clock, announcer: Announcer
    ) -> None:
        self._postgres = postgres
        self._singles = singles
        self._writer = writer
        self._clock = clock
        self._announcer = announcer

    async def write(self, caller: Caller, business_id: UUID, rows: PurchaseRows) -> Purchase | WriteOutcome:
        """Writes down exactly one row, and returns the new purchase, or what else became of the row.

        Raises:
            NotFound: There is no such business, said to admins and services.
            PermissionDenied: The same, said to all others.
            FailedPrecondition: BUSINESS_ARCHIVED.
        """
        judged = self._writer.judge(rows)
        async with self._postgres.transaction() as tx:
            purchase = None
            if len(judged.good):
                purchase = await self._singles.write(tx, business_id, judged.good, self._clock.now())
            if purchase is None:
                outcome = await self._writer.write_within(tx, caller, business_id, judged, keep_unknown=False)
        if purchase is not None:
            self._announcer.committed()
            return purchase
        self._writer.committed(outcome)
        return outcome
