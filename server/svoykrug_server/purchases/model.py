"""What a purchase is, and what may be written down as one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from uuid import UUID

MAX_EXTERNAL_ID_LENGTH = 100
MAX_REJECTIONS_RETURNED = 10_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ONE_MICROSECOND = timedelta(microseconds=1)


class EntryKind(IntEnum):
    """What a row of the ledger is."""

    PURCHASE = 1
    REFUND = 2
    REVERSAL = 3


@dataclass(frozen=True, slots=True)
class Refund:
    """Money given back for one purchase.

    Attributes:
        id: The refund's id.
        purchase_id: The purchase.
        external_id: The refund's id at the business; empty once the member has been erased.
        amount_minor: What was given back, in minor units; more than 0.
        refund_time: When it was given back.
        create_time: When the circle learned of it.
    """

    id: UUID
    purchase_id: UUID
    external_id: str
    amount_minor: int
    refund_time: datetime
    create_time: datetime

    def __post_init__(self) -> None:
        if self.amount_minor <= 0:
            raise ValueError("a refund gives something back")


@dataclass(frozen=True, slots=True)
class Purchase:
    """One receipt.

    Attributes:
        id: The purchase's id.
        business_id: The business that sold.
        user_id: Who bought; None once she deleted her account, and when she has been erased.
        external_id: The receipt's id at the business; empty once the member has been erased.
        amount_minor: What was paid before refunds, in minor units.
        currency_code: ISO 4217.
        refunded_minor: What has been given back so far.
        purchase_time: When she bought.
        create_time: When the circle learned of it.
        refunds: The refunds, the oldest first; empty where they were not asked for.
    """

    id: UUID
    business_id: UUID
    user_id: UUID | None
    external_id: str
    amount_minor: int
    currency_code: str
    refunded_minor: int
    purchase_time: datetime
    create_time: datetime
    refunds: tuple[Refund, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.refunded_minor <= self.amount_minor:
            raise ValueError("refunds never exceed the purchase")


@dataclass(frozen=True, slots=True)
class NewRefund:
    """A refund to write down.

    Attributes:
        purchase_id: The purchase by its id, or None.
        purchase_external_id: The purchase by its id at the business, or None; exactly one of the two.
        external_id: The refund's id at the business.
        amount_minor: What is given back.
        currency_code: ISO 4217; empty for the circle's.
        refund_time: When it is given back.
    """

    purchase_id: UUID | None
    purchase_external_id: str | None
    external_id: str
    amount_minor: int
    currency_code: str
    refund_time: datetime

    def __post_init__(self) -> None:
        if (self.purchase_id is None) == (self.purchase_external_id is None):
            raise ValueError("a refund names its purchase in exactly one way")


@dataclass(frozen=True, slots=True)
class SellingBusiness:
    """What must be known of a business to write down its purchases.

    Attributes:
        id: The business.
        sensitive: Whether it keeps its purchases secret.
        archived: Whether it takes no new purchases.
        has_erased_entries: Whether members bought there who have been erased.
    """

    id: UUID
    sensitive: bool
    archived: bool
    has_erased_entries: bool = False


@dataclass(frozen=True, slots=True)
class PurchaseRows:
    """Purchases of one business to write down, as columns of equal length.

    A million rows pass without an object for each.

    Attributes:
        numbers: Each row's number in its request or stream, from 0.
        external_ids: The receipts' ids at the business.
        user_ids: The buyers' user ids; empty where a phone is given.
        phones: The buyers' phones in any spelling; empty where a user id is given.
        amounts_minor: What was paid.
        currency_codes: ISO 4217; empty for the circle's.
        times_us: When, in microseconds since 1970.
        wallet_codes: The codes the buyers show; empty where a phone or a user id is given, and without any entry where
            no row has one.
    """

    numbers: Sequence[int]
    external_ids: Sequence[str]
    user_ids: Sequence[str]
    phones: Sequence[str]
    amounts_minor: Sequence[int]
    currency_codes: Sequence[str]
    times_us: Sequence[int]
    wallet_codes: Sequence[str] = ()

    def __post_init__(self) -> None:
        columns = (self.external_ids, self.user_ids, self.phones, self.amounts_minor, self.currency_codes)
        if any(len(column) != len(self.numbers) for column in (*columns, self.times_us)):
            raise ValueError("the columns have one length")
        if self.wallet_codes and len(self.wallet_codes) != len(self.numbers):
            raise ValueError("the columns have one length")

    def __len__(self) -> int:
        return len(self.numbers)

    def at(self, positions: Sequence[int]) -> "PurchaseRows":
        """Returns the rows at some positions of the columns."""
        return PurchaseRows(
            [self.numbers[i] for i in positions],
            [self.external_ids[i] for i in positions],
            [self.user_ids[i] for i in positions],
            [self.phones[i] for i in positions],
            [self.amounts_minor[i] for i in positions],
            [self.currency_codes[i] for i in positions],
            [self.times_us[i] for i in positions],
            [self.wallet_codes[i] for i in positions] if self.wallet_codes else (),
        )


@dataclass(frozen=True, slots=True)
class Fault:
    """A rule that a row breaks.

    Attributes:
        reason: The name of an `ErrorReason` value without its prefix.
        field: The field that is wrong.
    """

    reason: str
    field: str


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why one row was not written.

    Attributes:
        row_number: The row's number in its request or stream, from 0.
        external_id: The row's external id, cut to 100 characters.
        reason: The name of an `ErrorReason` value without its prefix.
        field: The field that is wrong.
        further: What else is wrong.
    """

    row_number: int
    external_id: str
    reason: str
    field: str
    further: tuple[Fault, ...] = ()


@dataclass(slots=True)
class WriteOutcome:
    """What became of rows; outcomes of batches are added up.

    Attributes:
        received_count: How many rows came.
        recorded_count: How many were written.
        duplicate_count: How many were there already with the same body.
        rejected_count: How many were refused.
        rejections: The refused rows by number, at most 10,000.
    """

    received_count: int = 0
    recorded_count: int = 0
    duplicate_count: int = 0
    rejected_count: int = 0
    rejections: list[Rejection] = field(default_factory=list)

    def add(self, other: "WriteOutcome") -> None:
        """Adds the outcome of a later batch."""
        self.received_count += other.received_count
        self.recorded_count += other.recorded_count
        self.duplicate_count += other.duplicate_count
        self.rejected_count += other.rejected_count
        self.rejections.extend(other.rejections[: MAX_REJECTIONS_RETURNED - len(self.rejections)])


def instant_of_us(microseconds: int) -> datetime:
    """Returns the instant that lies so many microseconds after 1970 began."""
    return EPOCH + timedelta(microseconds=microseconds)


def us_of_instant(instant: datetime) -> int:
    """Returns how many microseconds after 1970 began an aware instant lies; exact."""
    return (instant - EPOCH) // _ONE_MICROSECOND
