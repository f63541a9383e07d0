"""Use cases of kept rows: list them, say whose purchase one is, discard one.

A row is forgotten as soon as its receipt is a purchase, whoever recorded that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.paging import PageTokens, page_size
from svoykrug_server.kit.phone import parse_phone
from svoykrug_server.purchases.kept_rows_repository import KeptRow, KeptRowRepository
from svoykrug_server.purchases.model import (
    Purchase,
    PurchaseRows,
    WriteOutcome,
    instant_of_us,
    us_of_instant,
)
from svoykrug_server.purchases.refund_repository import RefundRepository
from svoykrug_server.purchases.repository import PurchaseRepository
from svoykrug_server.purchases.row_refusals import refusal_of
from svoykrug_server.purchases.writer import PurchaseWriter, not_found_for
from svoykrug_server.storage import audit, idempotency
from svoykrug_server.storage.audit import Origin, event_of_call
from svoykrug_server.storage.idempotency import RequestKey, hash_of
from svoykrug_server.storage.postgres import Postgres, Transaction

_DEFAULT_PAGE_SIZE = 50
_MAX_PAGE_SIZE = 500
_NEWEST = (datetime(9999, 1, 1, tzinfo=UTC), UUID(int=(1 << 128) - 1))
_MATCH_METHOD = "/svoykrug.purchases.v1.PurchasesService/MatchRejectedRow"


@dataclass(frozen=True, slots=True)
class KeptRowPage:
    """A page of kept rows.

    Attributes:
        rows: The newest first.
        next_page_token: Asks for the next page; empty on the last.
    """

    rows: Sequence[KeptRow]
    next_page_token: str


@dataclass(frozen=True, slots=True)
class Buyer:
    """Whose purchase a row is.

    Attributes:
        user_id: The user; None where a phone is given.
        phone: Her phone in any spelling; empty where a user is given.
    """

    user_id: UUID | None = None
    phone: str = ""

    def __post_init__(self) -> None:
        if (self.user_id is None) == (not self.phone):
            raise ValueError("a buyer is named in exactly one way")


class KeptRowService:
    """Kept rows as callers see them.

    Args:
        postgres: The system of record.
        kept_rows: The rows in it.
        purchases: SQL that reads purchases.
        ledger: Finds entries by their external ids.
        writer: Writes rows.
        page_tokens: Makes and reads page tokens.
        clock: Tells the time.
    """

    def __init__(
        self,
        postgres: Postgres,
        kept_rows: KeptRowRepository,
        purchases: PurchaseRepository,
        ledger: RefundRepository,
        writer: PurchaseWriter,
        page_tokens: PageTokens,
        clock: Clock,
    ) -> None:
        self._postgres = postgres
        self._kept_rows = kept_rows
        self._purchases = purchases
        self._ledger = ledger
        self._writer = writer
        self._page_tokens = page_tokens
        self._clock = clock

    async def list_page(self, business_id: UUID, asked_size: int, page_token: str) -> KeptRowPage:
        """Returns a page of a business's kept rows, the newest first.

        Raises:
            InvalidFields: The page size is negative, or the token of another list.
        """
        size = page_size(asked_size, default=_DEFAULT_PAGE_SIZE, most=_MAX_PAGE_SIZE)
        listing = f"kept rows of business {business_id}"
        position = self._page_tokens.read(listing, page_token)
        before = _NEWEST if position is None else (instant_of_us(int(position[0])), UUID(str(position[1])))
        async with self._postgres.read() as connection:
            found = await self._kept_rows.page(connection, business_id, before, size + 1)
        if len(found) <= size:
            return KeptRowPage(found, "")
        last = found[size - 1]
        token = self._page_tokens.make(listing, [us_of_instant(last.create_time), last.id.hex])
        return KeptRowPage(found[:size], token)

    async def match(self, call: Origin, caller: Caller, business_id: UUID, row_id: UUID, buyer: Buyer) -> Purchase:
        """Records a kept row as a purchase of a member and forgets the row; returns the purchase.

        For 7 days the same match again returns the same purchase.

        Raises:
            InvalidFields: The phone is none, or PURCHASE_TIME_OUT_OF_RANGE.
            FailedPrecondition: MEMBER_UNKNOWN, or BUSINESS_ARCHIVED.
            Conflict: EXTERNAL_ID_CONFLICT.
            NotFound: There is no such row at that business, said to admins and services; also where it was matched to
                somebody else.
            PermissionDenied: The same, said to all others.
        """
        key = RequestKey(str(business_id), _MATCH_METHOD, row_id, hash_of({}))
        async with self._postgres.transaction() as tx:
            first_answer = await idempotency.claim(tx, key, self._clock.now())
            if first_answer is None:
                outcome, purchase_id = await self._match(tx, call, caller, business_id, row_id, buyer)
                await idempotency.remember(tx, key, {"purchase_id": str(purchase_id)})
            else:
                outcome, purchase_id = WriteOutcome(), UUID(first_answer["purchase_id"])
        self._writer.committed(outcome)
        return await self._answer(caller, business_id, purchase_id, buyer)

    async def discard(self, call: Origin, business_id: UUID, row_id: UUID) -> None:
        """Forgets a kept row; where there is none, nothing changes."""
        async with self._postgres.transaction() as tx:
            if await self._kept_rows.delete(tx, business_id, row_id):
                await self._tell(tx, call, "REJECTED_ROW_DISCARDED", business_id, row_id=str(row_id))

    async def _match(
        self, tx: Transaction, call: Origin, caller: Caller, business_id: UUID, row_id: UUID, buyer: Buyer
    ) -> tuple[WriteOutcome, UUID]:
        row = await self._kept_rows.get(tx, business_id, row_id)
        if row is None:
            raise not_found_for(caller)
        judged = self._writer.judge(_as_rows(row, buyer))
        outcome = await self._writer.write_within(tx, caller, business_id, judged, keep_unknown=False)
        for rejection in outcome.rejections:
            raise refusal_of(rejection, self._writer.facts)
        entry = await self._ledger.entry_by_external_id(tx, business_id, row.external_id)
        if entry is None:
            raise LookupError("a recorded purchase can be found")
        await self._kept_rows.delete(tx, business_id, row_id)
        facts = {"row_id": str(row_id), "purchase_id": str(entry.id)}
        await self._tell(tx, call, "REJECTED_ROW_MATCHED", business_id, **facts)
        return outcome, entry.id

    async def _tell(self, tx: Transaction, call: Origin, action: str, business_id: UUID, **details: str) -> None:
        target = ("business", str(business_id))
        await audit.append(tx, event_of_call(call, action, self._clock.now(), target=target, details=details))

    async def _answer(self, caller: Caller, business_id: UUID, purchase_id: UUID, buyer: Buyer) -> Purchase:
        """Returns the purchase that a row became, if it is the buyer's."""
        async with self._postgres.read() as connection:
            purchase = await self._purchases.get(connection, business_id, purchase_id)
            user_id = buyer.user_id
            if user_id is None:
                user_id = await self._kept_rows.user_with_phone(connection, parse_phone(buyer.phone) or "")
        if purchase is None or user_id is None or purchase.user_id != user_id:
            raise not_found_for(caller)
        return purchase


def _as_rows(row: KeptRow, buyer: Buyer) -> PurchaseRows:
    return PurchaseRows(
        numbers=[0],
        external_ids=[row.external_id],
        user_ids=["" if buyer.user_id is None else str(buyer.user_id)],
        phones=[buyer.phone],
        amounts_minor=[row.amount_minor],
        currency_codes=[row.currency_code],
        times_us=[us_of_instant(row.purchase_time)],
    )
