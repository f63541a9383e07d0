"""Writes down one purchase whose buyer shows a wallet code: the code is used up exactly when the purchase is written.

A purchase that is repeated because its answer was lost comes with a code that it has used up itself. It is known by its
external id, and answered as any repeated purchase is; without such a purchase a used code is refused.
"""

from dataclasses import replace
from uuid import UUID

from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.errors import DomainError
from svoykrug_server.kit.wallet import WalletHolder
from svoykrug_server.purchases.model import PurchaseRows, WriteOutcome
from svoykrug_server.purchases.ports import WalletCodes
from svoykrug_server.purchases.refund_repository import RefundRepository
from svoykrug_server.purchases.row_rules import is_external_id
from svoykrug_server.purchases.writer import PurchaseWriter
from svoykrug_server.storage.postgres import Postgres, Transaction


class WalletWriter:
    """Writes rows by wallet code.

    Args:
        postgres: The system of record.
        ledger: Finds entries by their external ids.
        writer: Writes rows whose buyer is known.
        codes: Whose code is which.
    """

    def __init__(
        self, postgres: Postgres, ledger: RefundRepository, writer: PurchaseWriter, codes: WalletCodes
    ) -> None:
        self._postgres = postgres
        self._ledger = ledger
        self._writer = writer
        self._codes = codes

    async def write(self, caller: Caller, business_id: UUID, rows: PurchaseRows) -> WriteOutcome:
        """Writes down exactly one row for the member whose code it names, and says what became of it.

        Raises:
            FailedPrecondition: WALLET_CODE_INVALID, or BUSINESS_ARCHIVED.
            Limited: WALLET_GUESSES_EXHAUSTED, the caller gave too many wrong codes.
            NotFound: There is no such business, said to admins and services.
            PermissionDenied: The same, said to all others.
        """
        async with self._postgres.transaction() as tx:
            outcome = await self._write(tx, caller, business_id, rows)
        if isinstance(outcome, DomainError):
            raise outcome
        self._writer.committed(outcome)
        return outcome

    async def _write(
        self, tx: Transaction, caller: Caller, business_id: UUID, rows: PurchaseRows
    ) -> WriteOutcome | DomainError:
        found = await self._codes.find(tx, caller, rows.wallet_codes[0])
        if isinstance(found, DomainError):
            return found
        if found is None or not await self._may_be_hers(tx, business_id, rows, found):
            return await self._codes.refuse(tx, caller, business_id)
        judged = self._writer.judge(replace(rows, user_ids=[str(found.user_id)], wallet_codes=()))
        outcome = await self._writer.write_within(tx, caller, business_id, judged, keep_unknown=False)
        if outcome.recorded_count:
            await self._codes.use(tx, found)
        return outcome

    async def _may_be_hers(self, tx: Transaction, business_id: UUID, rows: PurchaseRows, holder: WalletHolder) -> bool:
        """Tells whether the row may be written for the holder, or was written already and is only repeated."""
        external_id = rows.external_ids[0]
        if holder.usable:
            return True
        if not is_external_id(external_id):
            return False
        return await self._ledger.entry_by_external_id(tx, business_id, external_id) is not None
