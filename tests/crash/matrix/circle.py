"""The circle of the crash matrix: its members, its businesses, and every purchase that was ever sent."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from google.protobuf.timestamp_pb2 import Timestamp
from svoykrug.purchases.v1.purchases_service_pb2 import NewPurchase

from svoykrug_server.kit.ids import random_member_id
from svoykrug_server.storage.postgres import Postgres
from tests.crash.own_rows import Totals, digest

MEMBERS, DAYS = 500, 330
CATEGORIES = ("beauty", "floristry", "medical")
SENSITIVE = 2
"""Which of the businesses keeps its purchases secret."""


@dataclass(frozen=True, slots=True)
class Row:
    """A purchase as the test sent it."""

    number: int
    business: int
    member: int
    amount_minor: int
    purchase_time: datetime

    @property
    def external_id(self) -> str:
        """What names it at its business; no two rows share it."""
        return f"r{self.number}"

    def message(self) -> NewPurchase:
        """Returns it as it is sent."""
        at = Timestamp()
        at.FromDatetime(self.purchase_time)
        return NewPurchase(
            phone=phone(self.member), external_id=self.external_id, amount_minor=self.amount_minor, purchase_time=at
        )


class Circle:
    """The test's own books.

    Args:
        seed: Makes the purchases; the same ones for a seed.
    """

    def __init__(self, seed: int) -> None:
        self.business_ids = tuple(uuid4() for _ in CATEGORIES)
        self.member_ids = tuple(random_member_id() for _ in range(MEMBERS))
        self.rows: list[Row] = []
        self._random = random.Random(seed)
        self._now = datetime.now(UTC)
        self._totals = Totals(0, 0, 0, 0)
        self._counted = 0

    def history(self) -> Sequence[Row]:
        """Returns what members bought until now, as regularly as a habit; some of them leave."""
        for member in range(MEMBERS):
            usual_gap, leaving = self._random.lognormvariate(2.4, 0.8), self._random.betavariate(0.8, 12)
            day = self._random.uniform(0, DAYS * 0.4)
            while day < DAYS:
                self._add(member, self._now - timedelta(days=DAYS - day))
                if self._random.random() < leaving:
                    break
                day += usual_gap * self._random.gammavariate(8, 1 / 8)
        return self.rows

    def more(self, count: int) -> Sequence[Row]:
        """Returns so many new purchases: late rows, each of a visit that is known already, so that habits stay."""
        for known in self._random.choices(self.rows, k=count):
            self._add(known.member, known.purchase_time)
        return self.rows[-count:]

    def totals(self, entry_ids: dict[str, UUID]) -> Totals:
        """Returns what a store must hold once everything was sent.

        Args:
            entry_ids: The id that the server gave to each row, by its external id.
        """
        new = self.rows[self._counted :]
        digests = sum(self._digest(row, entry_ids[row.external_id]) for row in new)
        count, sum_minor = len(self.rows), self._totals.sum_minor + sum(row.amount_minor for row in new)
        self._totals = Totals(count, count, sum_minor, (self._totals.hash + digests) % 2**64)
        self._counted = count
        return self._totals

    def _add(self, member: int, moment: datetime) -> None:
        business = min(math.floor(self._random.expovariate(1.2)), len(CATEGORIES) - 1)
        amount_minor = self._random.choice((0, 25_000, self._random.randint(1, 900_000)))
        moment += timedelta(microseconds=self._random.randrange(1_000_000))
        self.rows.append(Row(len(self.rows), business, member, amount_minor, moment))

    def _digest(self, row: Row, entry_id: UUID) -> int:
        ids = (entry_id, self.business_ids[row.business], self.member_ids[row.member])
        return digest(*ids, row.amount_minor, row.purchase_time)


def phone(member: int) -> str:
    """Returns the phone by which a business names a member."""
    return f"+7900{member:07}"


async def open_circle(postgres: Postgres, circle: Circle) -> None:
    """Adds the members and the businesses."""
    now, user_ids = datetime.now(UTC), [uuid4() for _ in range(MEMBERS)]
    businesses = zip(circle.business_ids, CATEGORIES, strict=True)
    async with postgres.transaction() as tx:
        driver = await tx.driver()
        await driver.executemany(
            "INSERT INTO businesses (id, name, category, sensitive, create_time, update_time) "
            "VALUES ($1, $2, $2, $3, $4, $4)",
            [(at, category, category == CATEGORIES[SENSITIVE], now) for at, category in businesses],
        )
        await driver.executemany(
            "INSERT INTO users (id, phone, status, create_time, update_time) VALUES ($1, $2, 'unclaimed', $3, $3)",
            [(user_id, phone(member), now) for member, user_id in enumerate(user_ids)],
        )
        await driver.executemany(
            "INSERT INTO member_links (user_id, member_id) VALUES ($1, $2)",
            list(zip(user_ids, circle.member_ids, strict=True)),
        )
