"""Writes down purchases of one business in one transaction: one, a thousand, or a batch of an import."""

from uuid import UUID

from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import DomainError, FailedPrecondition, NotFound, PermissionDenied
from svoykrug_server.kit.ids import uuid7
from svoykrug_server.purchases.announcing import Announcer
from svoykrug_server.purchases.erasure_repository import LedgerErasure
from svoykrug_server.purchases.ledger_repository import LedgerRepository
from svoykrug_server.purchases.model import (
    MAX_REJECTIONS_RETURNED,
    PurchaseRows,
    Rejection,
    SellingBusiness,
    WriteOutcome,
)
from svoykrug_server.purchases.row_rules import CircleRules, Judgement, judge, reject, reject_unknown_member
from svoykrug_server.storage import outbox
from svoykrug_server.storage.postgres import Postgres, Transaction


class PurchaseWriter:
    """Writes rows with their outbox entry.

    Args:
        postgres: The system of record.
        ledger: The SQL.
        erasure: Knows the purchases of members who have been erased.
        rules: What the circle takes.
        clock: The time.
        announcer: Tells whoever follows the ledger.
    """

    def __init__(
        self,
        postgres: Postgres,
        ledger: LedgerRepository,
        erasure: LedgerErasure,
        rules: CircleRules,
        clock: Clock,
        announcer: Announcer,
    ) -> None:
        self._postgres = postgres
        self._ledger = ledger
        self._erasure = erasure
        self._rules = rules
        self._clock = clock
        self._announcer = announcer

    def judge(self, rows: PurchaseRows) -> Judgement:
        """Splits rows by the rules they must keep by themselves; asks no database."""
        return judge(rows, self._rules, self._clock)

    def facts(self, reason: str) -> dict[str, str]:
        """Returns what a caller must know to mend a row that was refused for a reason."""
        return self._rules.facts(reason, self._clock)

    async def write(self, caller: Caller, business_id: UUID, judged: Judgement) -> WriteOutcome:
        """Writes the good rows in one transaction and says what became of all; keeps none whose member is unknown.

        Args:
            caller: Who calls; decides what a missing business is called.
            business_id: The business that sells.
            judged: The rows, split by `judge`.

        Raises:
            NotFound: There is no such business, said to admins and services.
            PermissionDenied: The same, said to all others.
            FailedPrecondition: BUSINESS_ARCHIVED.
        """
        async with self._postgres.transaction() as tx:
            outcome = await self.write_within(tx, caller, business_id, judged, keep_unknown=False)
        self.committed(outcome)
        return outcome

    async def write_within(
        self, tx: Transaction, caller: Caller | None, business_id: UUID, judged: Judgement, *, keep_unknown: bool
    ) -> WriteOutcome:
        """Writes the good rows in a transaction of the caller's, who calls `committed` after it; else as `write`.

        Background work has no `caller`. With `keep_unknown` rows with an unknown member are kept until someone matches
        them.
        """
        found = await self._ledger.selling_business(tx, business_id)
        if found is None:
            raise not_found_for(caller)
        business, has_rejected_rows = found
        if business.archived:
            raise FailedPrecondition("BUSINESS_ARCHIVED")
        return await self._write_good(tx, business, judged, keep_unknown, has_rejected_rows)

    def committed(self, outcome: WriteOutcome) -> None:
        """Says that the transaction of an outcome is committed."""
        if outcome.recorded_count:
            self._announcer.committed()

    async def _write_good(
        self, tx: Transaction, business: SellingBusiness, judged: Judgement, keep_unknown: bool, forget: bool
    ) -> WriteOutcome:
        rows, rejections = judged.good, list(judged.rejections)
        received_count = len(rows) + len(rejections)
        if not len(rows):
            return _outcome(received_count, 0, rejections)
        if len(rows) > 1:
            await self._ledger.lock_business(tx, business.id)
        rows, foreign = await self._without_erased(tx, business, rows)
        rejections += foreign
        if not len(rows):
            return _outcome(received_count, 0, rejections)
        now, currency_code = self._clock.now(), self._rules.currency_code
        outbox_id = await outbox.reserve(tx)
        written = await self._ledger.write_purchases(
            tx, business, rows, currency_code=currency_code, outbox_id=outbox_id, first_id=uuid7(now)
        )
        if written.recorded_count:
            await self._announcer.written(tx, outbox_id, business.id, written.recorded_count, now)
            if forget:
                await self._ledger.forget_rejected(tx, business.id, outbox_id)
        if keep_unknown and written.unknown_positions:
            unknown = rows.at(written.unknown_positions)
            await self._ledger.keep_rejected(tx, business.id, unknown, currency_code, now)
        rejections += [reject_unknown_member(rows, position) for position in written.unknown_positions]
        rejections += [
            reject(rows, position, "EXTERNAL_ID_CONFLICT", "external_id") for position in written.conflict_positions
        ]
        return _outcome(received_count, written.recorded_count, rejections)

    async def _without_erased(
        self, tx: Transaction, business: SellingBusiness, rows: PurchaseRows
    ) -> tuple[PurchaseRows, list[Rejection]]:
        """Leaves out rows that were written down for members who have been erased, and refuses those changed since.

        A business at which no such member bought, the usual one, is asked nothing.
        """
        if not business.has_erased_entries:
            return rows, []
        known = await self._erasure.known(tx, business.id, rows, self._rules.currency_code)
        unknown = [place for place in range(len(rows)) if place not in known.duplicates | known.conflicts]
        foreign = [reject(rows, place, "EXTERNAL_ID_CONFLICT", "external_id") for place in sorted(known.conflicts)]
        return rows.at(unknown), foreign


def not_found_for(caller: Caller | None) -> DomainError:
    """Returns what is said about something that does not exist: only admins, services and our own jobs learn that."""
    return NotFound() if caller is None or caller.is_admin or caller.is_service else PermissionDenied()


def _outcome(received_count: int, recorded_count: int, rejections: list[Rejection]) -> WriteOutcome:
    rejections.sort(key=lambda rejection: rejection.row_number)
    return WriteOutcome(
        received_count=received_count,
        recorded_count=recorded_count,
        duplicate_count=received_count - recorded_count - len(rejections),
        rejected_count=len(rejections),
        rejections=rejections[:MAX_REJECTIONS_RETURNED],
    )
