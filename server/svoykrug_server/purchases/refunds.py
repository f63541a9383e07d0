"""Refunds: parts of a purchase given back, never more than the whole."""

from uuid import UUID

from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import Conflict, FailedPrecondition, FieldViolation, InvalidFields
from svoykrug_server.kit.ids import uuid7
from svoykrug_server.kit.money import MAX_AMOUNT_MINOR
from svoykrug_server.purchases.announcing import Announcer
from svoykrug_server.purchases.model import EntryKind, Fault, NewRefund, Purchase, Refund
from svoykrug_server.purchases.refund_repository import FoundEntry, RefundablePurchase, RefundRepository
from svoykrug_server.purchases.repository import PurchaseRepository
from svoykrug_server.purchases.row_refusals import common_reason, facts_about
from svoykrug_server.purchases.row_rules import CircleRules, is_external_id
from svoykrug_server.purchases.writer import not_found_for
from svoykrug_server.storage import outbox
from svoykrug_server.storage.postgres import Postgres, Transaction

_RULES_IN_WORDS = {
    "external_id": "must have 1 to 100 characters and no control character",
    "amount_minor": "must be 1 to 100,000,000,000",
    "currency_code": "must be the circle's currency",
    "refund_time": "must not lie in the future or too long ago",
}


class RefundService:
    """Writes down refunds.

    Args:
        postgres: The system of record.
        ledger: SQL that writes.
        purchases: SQL that reads.
        rules: What the circle takes.
        clock: The time.
        announcer: Tells whoever follows the ledger.
    """

    def __init__(
        self,
        postgres: Postgres,
        ledger: RefundRepository,
        purchases: PurchaseRepository,
        rules: CircleRules,
        clock: Clock,
        announcer: Announcer,
    ) -> None:
        self._postgres = postgres
        self._ledger = ledger
        self._purchases = purchases
        self._rules = rules
        self._clock = clock
        self._announcer = announcer

    async def refund(self, caller: Caller, business_id: UUID, refund: NewRefund) -> tuple[Purchase, Refund, bool]:
        """Gives back a part or the whole of a purchase; returns purchase, refund, and whether it was there already.

        Raises:
            InvalidFields: AMOUNT_OUT_OF_RANGE, CURRENCY_FOREIGN, PURCHASE_TIME_OUT_OF_RANGE, or a malformed external
                id.
            FailedPrecondition: REFUND_EXCEEDS_PURCHASE, with what is left as `refundable_minor`.
            Conflict: EXTERNAL_ID_CONFLICT.
            NotFound: There is no such purchase at that business, said to admins and services.
            PermissionDenied: The same, said to all others.
        """
        self._check(refund)
        async with self._postgres.transaction() as tx:
            purchase = await self._ledger.lock_purchase(tx, business_id, refund)
            if purchase is None:
                raise not_found_for(caller)
            refund_id = uuid7(self._clock.now())
            existing = await self._ledger.entry_by_external_id(tx, business_id, refund.external_id)
            if existing is None:
                existing = await self._write(tx, business_id, purchase, refund, refund_id)
            if existing is not None and not _same(existing, purchase, refund):
                raise Conflict("EXTERNAL_ID_CONFLICT")
        if existing is None:
            self._announcer.committed()
            return await self._answer(business_id, purchase.id, refund_id, duplicate=False)
        return await self._answer(business_id, purchase.id, existing.id, duplicate=True)

    def _check(self, refund: NewRefund) -> None:
        """Refuses a refund that breaks rules by itself, and names every one of them."""
        oldest, newest = self._rules.time_range(self._clock)
        keeps = {
            Fault("INVALID_FIELDS", "external_id"): is_external_id(refund.external_id),
            Fault("AMOUNT_OUT_OF_RANGE", "amount_minor"): 0 < refund.amount_minor <= MAX_AMOUNT_MINOR,
            Fault("CURRENCY_FOREIGN", "currency_code"): refund.currency_code in ("", self._rules.currency_code),
            Fault("PURCHASE_TIME_OUT_OF_RANGE", "refund_time"): oldest <= refund.refund_time <= newest,
        }
        faults = [fault for fault, is_kept in keeps.items() if not is_kept]
        if faults:
            raise InvalidFields(
                common_reason(faults),
                metadata=facts_about(faults, lambda reason: self._rules.facts(reason, self._clock)),
                violations=tuple(FieldViolation(fault.field, _RULES_IN_WORDS[fault.field]) for fault in faults),
            )

    async def _write(
        self, tx: Transaction, business_id: UUID, purchase: RefundablePurchase, refund: NewRefund, refund_id: UUID
    ) -> FoundEntry | None:
        """Writes a refund; returns the entry that took its external id first, or None."""
        if refund.refund_time < purchase.purchase_time:
            raise InvalidFields(
                "PURCHASE_TIME_OUT_OF_RANGE",
                metadata={
                    **self._rules.facts("PURCHASE_TIME_OUT_OF_RANGE", self._clock),
                    "oldest_time": purchase.purchase_time.isoformat(),
                },
                violations=(FieldViolation("refund_time", "must not lie before the purchase"),),
            )
        if refund.amount_minor > purchase.refundable_minor:
            raise FailedPrecondition(
                "REFUND_EXCEEDS_PURCHASE",
                metadata={"refundable_minor": str(purchase.refundable_minor)},
                violations=(FieldViolation("amount_minor", "must not exceed what is left of the purchase"),),
            )
        outbox_id = await outbox.reserve(tx)
        written = await self._ledger.write_refund(
            tx, business_id, purchase, refund, refund_id=refund_id, outbox_id=outbox_id
        )
        if not written:
            return await self._ledger.entry_by_external_id(tx, business_id, refund.external_id)
        await self._announcer.written(tx, outbox_id, business_id, 1, self._clock.now())
        return None

    async def _answer(
        self, business_id: UUID, purchase_id: UUID, refund_id: UUID, *, duplicate: bool
    ) -> tuple[Purchase, Refund, bool]:
        async with self._postgres.read() as connection:
            purchase = await self._purchases.get(connection, business_id, purchase_id)
        if purchase is None:
            raise LookupError("a refunded purchase can be read")
        refund = next(given for given in purchase.refunds if given.id == refund_id)
        return purchase, refund, duplicate


def _same(entry: FoundEntry, purchase: RefundablePurchase, refund: NewRefund) -> bool:
    """Tells whether an entry with the refund's external id is that very refund."""
    return (entry.kind, entry.purchase_id, entry.amount_minor, entry.entry_time) == (
        EntryKind.REFUND,
        purchase.id,
        -refund.amount_minor,
        refund.refund_time,
    )
