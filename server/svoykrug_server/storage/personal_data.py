"""What is kept about a person: the words in which each feature declares its tables, for the export and the erasure.

Every table of both stores is declared exactly once as one of three: it holds rows about people (`PersonalRows` of
PostgreSQL, `WarehouseRows` of ClickHouse), or it does not, and why (`Impersonal`). A test compares the declarations
with the tables that exist, so that nobody adds a table and forgets the people in it. Export and erasure select by the
same condition: what one shows the other erases.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from svoykrug_server.storage.postgres import Transaction


class Store(StrEnum):
    """Where a table is."""

    POSTGRES = "postgres"
    CLICKHOUSE = "clickhouse"


@dataclass(frozen=True, slots=True)
class Person:
    """By what rows are found to be about a person.

    Attributes:
        user_id: Her id.
        member_id: The number by which purchases and the warehouse know her; None when she has none.
        phone: Her number in E.164; None when she has none.
    """

    user_id: UUID
    member_id: int | None
    phone: str | None


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a table is for, in the languages of people.

    Attributes:
        en: In English.
        ru: In Russian.
    """

    en: str
    ru: str


@dataclass(frozen=True, slots=True)
class Delete:
    """The rows go."""


@dataclass(frozen=True, slots=True)
class Change:
    """The rows stay, without what pointed to her.

    Attributes:
        assignments: What stands behind SET in SQL.
    """

    assignments: str


@dataclass(frozen=True, slots=True)
class Rewrite:
    """The rows stay, rewritten by more than SQL can do.

    Attributes:
        rewrite: Does it in the erasure's transaction and returns how many rows it was.
    """

    rewrite: Callable[[Transaction, Person], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Stay:
    """The rows stay as they are: they lead to her by an id alone, which leads nowhere once she is erased.

    Attributes:
        why: Why they are kept.
    """

    why: str


@dataclass(frozen=True, slots=True)
class PersonalRows:
    """Rows of a PostgreSQL table that are about a person.

    Attributes:
        table: The table; more than one declaration of a table may stand, each for other rows.
        purpose: What the table is for.
        hers: Which rows are about her, as an SQL condition: `kept` is a row; `:user_id`, `:member_id` and `:phone` are
            hers.
        erasure: What becomes of them.
        columns: What she is shown of a row; empty for all of it.
        secrets: Columns of which she is told only that there is something.
    """

    table: str
    purpose: Purpose
    hers: str
    erasure: Delete | Change | Rewrite | Stay
    columns: tuple[str, ...] = ()
    secrets: frozenset[str] = frozenset()

    @property
    def store(self) -> Store:
        """Where the table is."""
        return Store.POSTGRES


@dataclass(frozen=True, slots=True)
class WarehouseRows:
    """Rows of a ClickHouse table that are about a member. They stay: nothing leads from the number to a person then.

    Attributes:
        table: The table; its column `member_id` says whose a row is.
        purpose: What the table is for.
        key: The column, a UUID, that tells the rows of one member apart.
    """

    table: str
    purpose: Purpose
    key: str

    @property
    def store(self) -> Store:
        """Where the table is."""
        return Store.CLICKHOUSE


@dataclass(frozen=True, slots=True)
class Impersonal:
    """A table in which nothing is about a person.

    Attributes:
        store: Where it is.
        table: The table.
        why: Why nothing in it is.
    """

    store: Store
    table: str
    why: str


@dataclass(frozen=True, slots=True)
class Declared:
    """What one feature, or all of them, keeps.

    Attributes:
        personal: Rows about people in PostgreSQL, in the order in which they are erased: a condition may look at tables
            that come later.
        warehouse: Rows about members in ClickHouse.
        impersonal: The other tables.
    """

    personal: tuple[PersonalRows, ...] = ()
    warehouse: tuple[WarehouseRows, ...] = ()
    impersonal: tuple[Impersonal, ...] = ()

    @property
    def kept(self) -> tuple[PersonalRows | WarehouseRows, ...]:
        """Rows about people in both stores."""
        return (*self.personal, *self.warehouse)

    @property
    def tables(self) -> frozenset[tuple[Store, str]]:
        """Every table that is declared."""
        return frozenset(
            [(rows.store, rows.table) for rows in self.kept] + [(table.store, table.table) for table in self.impersonal]
        )


_TYPES = {"user_id": "uuid", "member_id": "bigint", "phone": "text"}


def bound(sql: str, person: Person) -> tuple[str, list[object]]:
    """Returns a statement as asyncpg takes it, with `$1` in place of `:user_id`, and the values of those it uses."""
    values: list[object] = []
    for name, kind in _TYPES.items():
        if f":{name}" in sql:
            values.append(getattr(person, name))
            sql = sql.replace(f":{name}", f"${len(values)}::{kind}")
    return sql, values


def join(*parts: Declared) -> Declared:
    """Returns what several features keep, as one declaration.

    Args:
        parts: Features in the order in which they are erased.
    """
    return Declared(
        tuple(rows for part in parts for rows in part.personal),
        tuple(rows for part in parts for rows in part.warehouse),
        tuple(table for part in parts for table in part.impersonal),
    )
