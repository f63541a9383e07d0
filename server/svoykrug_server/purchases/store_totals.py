"""Count, sum and hash of ledger entries: what the two stores are compared by."""

from dataclasses import dataclass
from datetime import date
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
