"""Use cases about single purchases and small batches, and the lists."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.paging import PageTokens, page_size
from svoykrug_server.purchases.model import (
    Purchase,
    PurchaseRows,
    WriteOutcome,
    instant_of_us,
    us_of_instant,
)
from svoykrug_server.purchases.repository import PurchaseRepository
from svoykrug_server.purchases.row_refusals import refusal_of
from svoykrug_server.purchases.single_writer import SingleWriter
from svoykrug_server.purchases.wallet_writer import WalletWriter
from svoykrug_server.purchases.writer import PurchaseWriter, not_found_for
from svoykrug_server.storage.postgres import Postgres

_DEFAULT_PAGE_SIZE = 50
_MAX_PAGE_SIZE = 500
_LATEST = (datetime(9999, 1, 1, tzinfo=UTC), UUID(int=(1 << 128) - 1))


@dataclass(frozen=True, slots=True)
class PurchasePage:
    """A page of purchases.

    Attributes:
        purchases: The latest first.
        next_page_token: Asks for the next page; empty on the last.
    """

    purchases: Sequence[Purchase]
    next_page_token: str


class PurchaseService:
    """Records and reads purchases.

    Args:
        postgres: The system of record.
        purchases: SQL that reads.
        writer: Writes rows.
        single_writer: Writes single rows.
        wallet_writer: Writes rows whose buyers show wallet codes.
        page_tokens: Makes and reads page tokens.
    """

    def __init__(
        self,
        postgres: Postgres,
        purchases: PurchaseRepository,
        writer: PurchaseWriter,
        single_writer: SingleWriter,
        wallet_writer: WalletWriter,
        page_tokens: PageTokens,
    ) -> None:
        self._postgres = postgres
        self._purchases = purchases
        self._writer = writer
        self._single_writer = single_writer
        self._wallet_writer = wallet_writer
        self._page_tokens = page_tokens

    async def record(self, caller: Caller, business_id: UUID, rows: PurchaseRows) -> tuple[Purchase, bool]:
        """Writes down one purchase; returns it and whether it was there already.

        Args:
            caller: Staff or owner of the business, an admin, or a service.
            business_id: The business that sells.
            rows: Exactly one row.

        Raises:
            DomainError: The row breaks a rule (its reason says which), the business is archived or does not exist.
        """
        if rows.wallet_codes:
            outcome = await self._wallet_writer.write(caller, business_id, rows)
        else:
            written = await self._single_writer.write(caller, business_id, rows)
            if isinstance(written, Purchase):
                return written, False
            outcome = written
        if outcome.rejections:
            raise refusal_of(outcome.rejections[0], self._writer.facts, "purchase.")
        async with self._postgres.read() as connection:
            purchase = await self._purchases.get_by_external_id(connection, business_id, rows.external_ids[0])
        if purchase is None:
            raise LookupError("a recorded purchase can be read")
        return purchase, outcome.recorded_count == 0

    async def record_batch(self, caller: Caller, business_id: UUID, rows: PurchaseRows) -> WriteOutcome:
        """Writes down up to 1,000 purchases in one transaction; a refused row stops no other.

        Raises:
            DomainError: The business is archived or does not exist.
        """
        return await self._writer.write(caller, business_id, self._writer.judge(rows))

    async def get(self, caller: Caller, business_id: UUID, purchase_id: UUID) -> Purchase:
        """Returns a purchase of a business with its refunds.

        Raises:
            NotFound: There is no such purchase at that business, said to admins and services.
            PermissionDenied: The same, said to all others.
        """
        async with self._postgres.read() as connection:
            purchase = await self._purchases.get(connection, business_id, purchase_id)
        if purchase is None:
            raise not_found_for(caller)
        return purchase

    async def list_mine(self, caller: Caller, asked_size: int, page_token: str) -> PurchasePage:
        """Returns a page of the caller's own purchases, the latest first.

        Raises:
            InvalidFields: The page size is negative, or the token of another list.
        """
        listing = f"purchases of user {caller.subject_id}"
        size, before = self._page(listing, asked_size, page_token)
        async with self._postgres.read() as connection:
            found = await self._purchases.of_user(connection, caller.subject_id, before, size + 1)
        return self._make_page(listing, found, size)

    async def list_of_business(self, business_id: UUID, asked_size: int, page_token: str) -> PurchasePage:
        """Returns a page of a business's purchases, the latest first.

        Raises:
            InvalidFields: The page size is negative, or the token of another list.
        """
        listing = f"purchases of business {business_id}"
        size, before = self._page(listing, asked_size, page_token)
        async with self._postgres.read() as connection:
            found = await self._purchases.of_business(connection, business_id, before, size + 1)
        return self._make_page(listing, found, size)

    def _page(self, listing: str, asked_size: int, page_token: str) -> tuple[int, tuple[datetime, UUID]]:
        size = page_size(asked_size, default=_DEFAULT_PAGE_SIZE, most=_MAX_PAGE_SIZE)
        position = self._page_tokens.read(listing, page_token)
        if position is None:
            return size, _LATEST
        time_us, purchase_id = position
        return size, (instant_of_us(int(time_us)), UUID(str(purchase_id)))

    def _make_page(self, listing: str, found: Sequence[Purchase], size: int) -> PurchasePage:
        if len(found) <= size:
            return PurchasePage(found, "")
        last = found[size - 1]
        token = self._page_tokens.make(listing, [us_of_instant(last.purchase_time), last.id.hex])
        return PurchasePage(found[:size], token)
