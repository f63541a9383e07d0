"""The rows of the test's import, and what both stores must hold of them: computed here, not asked of the server."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from google.protobuf.timestamp_pb2 import Timestamp
from svoykrug.purchases.v1.purchases_service_pb2 import ImportPurchasesRequest, NewPurchase

from svoykrug_server.kit.ids import random_member_id
from svoykrug_server.storage.postgres import Postgres

BATCH_ROWS, MEMBERS = 200, 50
FIRST_TIME = datetime(2025, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Totals:
    """What a store holds.

    Attributes:
        rows: How many rows.
        distinct: How many different ones.
        sum_minor: Their sum in minor units.
        hash: The sum modulo 2^64 of the first 8 bytes, big-endian, of md5 over
            `id|business|member|amount_minor|currency|purchase_time_us|kind`.
    """

    rows: int
    distinct: int
    sum_minor: int
    hash: int


@dataclass(frozen=True, slots=True)
class OwnCircle:
    """The members and the business of the import.

    Attributes:
        business_id: The business.
        member_ids: The number by which the ledger knows each member, in the order of their phones.
    """

    business_id: UUID
    member_ids: tuple[int, ...]

    def rows(self, batches: int) -> Iterable[NewPurchase]:
        """Returns the rows of the first batches: always the same ones."""
        return map(_row, range(batches * BATCH_ROWS))

    def batch(self, number: int) -> ImportPurchasesRequest:
        """Returns a batch: always the same one for a number."""
        rows = map(_row, range(number * BATCH_ROWS, (number + 1) * BATCH_ROWS))
        return ImportPurchasesRequest(business_id=str(self.business_id), purchases=rows)

    def totals(self, batches: int, entry_ids: Mapping[str, UUID]) -> Totals:
        """Returns what a store must hold of the first batches.

        Args:
            batches: How many batches were imported.
            entry_ids: The id that the server gave to each row, by the row's external id.
        """
        count = batches * BATCH_ROWS
        digests = (self._digest(number, entry_ids[f"r{number}"]) for number in range(count))
        return Totals(count, count, sum(map(_amount_minor, range(count))), sum(digests) % 2**64)

    def _digest(self, number: int, entry_id: UUID) -> int:
        return digest(
            entry_id, self.business_id, self.member_ids[number % MEMBERS], _amount_minor(number), _time(number)
        )


def digest(entry_id: UUID, business_id: UUID, member_id: int, amount_minor: int, purchase_time: datetime) -> int:
    """Returns what a purchase adds to the hash of a store."""
    time_us = (purchase_time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    text = f"{entry_id}|{business_id}|{member_id}|{amount_minor}|RUB|{time_us}|1"
    return int.from_bytes(hashlib.md5(text.encode(), usedforsecurity=False).digest()[:8], "big")


def _amount_minor(number: int) -> int:
    return 100 + number * 7 % 10_000


def _time(number: int) -> datetime:
    return FIRST_TIME + timedelta(minutes=number, microseconds=number)


def _phone(member: int) -> str:
    return f"+7900{member:07}"


def _row(number: int) -> NewPurchase:
    at = Timestamp()
    at.FromDatetime(_time(number))
    phone = _phone(number % MEMBERS)
    return NewPurchase(phone=phone, external_id=f"r{number}", amount_minor=_amount_minor(number), purchase_time=at)


async def add_circle(postgres: Postgres) -> OwnCircle:
    """Adds the members and the business of the import."""
    circle = OwnCircle(uuid4(), tuple(random_member_id() for _ in range(MEMBERS)))
    user_ids, now = [uuid4() for _ in range(MEMBERS)], datetime.now(UTC)
    async with postgres.transaction() as tx:
        driver = await tx.driver()
        await driver.execute(
            "INSERT INTO businesses (id, name, category, sensitive, create_time, update_time) "
            "VALUES ($1, 'Florist', 'floristry', false, $2, $2)",
            *(circle.business_id, now),
        )
        await driver.executemany(
            "INSERT INTO users (id, phone, status, create_time, update_time) VALUES ($1, $2, 'unclaimed', $3, $3)",
            [(user_id, _phone(member), now) for member, user_id in enumerate(user_ids)],
        )
        await driver.executemany(
            "INSERT INTO member_links (user_id, member_id) VALUES ($1, $2)",
            list(zip(user_ids, circle.member_ids, strict=True)),
        )
    return circle
