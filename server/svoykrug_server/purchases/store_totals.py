"""Count, sum and hash of ledger entries: what the two stores are compared by, and the proof of a day."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

HASH_MODULUS = 1 << 64


@dataclass(frozen=True, slots=True)
class StoreTotals:
    """What one store holds of some entries. Totals of disjoint sets add up, the hash too.

    Attributes:
        entry_count: How many entries.
        sum_minor: Their signed sum in minor units.
        hash: The sum modulo 2^64 of the first 8 bytes, big-endian, of md5 over
            `id|business|member|amount_minor|currency|purchase_time_us|kind` of each entry, `kind` as its number.
    """

    entry_count: int = 0
    sum_minor: int = 0
    hash: int = 0

    def __add__(self, other: "StoreTotals") -> "StoreTotals":
        return StoreTotals(
            self.entry_count + other.entry_count,
            self.sum_minor + other.sum_minor,
            (self.hash + other.hash) % HASH_MODULUS,
        )


@dataclass(frozen=True, slots=True, order=True)
class BusinessDay:
    """A day at a business.

    Attributes:
        business_id: The business.
        day: The day in the circle's time zone.
    """

    business_id: UUID
    day: date


@dataclass(frozen=True, slots=True)
class Standing:
    """What the warehouse should hold in total, by the proofs.

    Attributes:
        batch_id: The last sealed batch.
        kept_from_day: Entries of earlier days were let go and do not count; None when none were.
        open_days: Days that changed since they were proven, are to be read again, or disagree: they do not count. Not
            all of them where there are more than were asked for.
        total: How many entries of all other days, and their signed sum in minor units.
    """

    batch_id: int
    kept_from_day: date | None
    open_days: Sequence[BusinessDay]
    total: tuple[int, int]


@dataclass(frozen=True, slots=True)
class KeptProof:
    """Which proof a day at a business has.

    Attributes:
        batch_id: It was compared up to this batch; negative when it is to be compared again, each time another number.
        time: When it was last compared; None when never.
    """

    batch_id: int
    time: datetime | None


@dataclass(frozen=True, slots=True)
class DayProof:
    """What each store holds of a day at a business.

    Attributes:
        at: The business and day.
        postgres: What the ledger holds of what is shipped.
        clickhouse: What the warehouse holds of the same batches.
        before: The proof that the day had when the comparison was begun; None when it is not among those to compare.
    """

    at: BusinessDay
    postgres: StoreTotals
    clickhouse: StoreTotals
    before: KeptProof | None

    @property
    def equal(self) -> bool:
        """Whether both hold the same."""
        return self.postgres == self.clickhouse
