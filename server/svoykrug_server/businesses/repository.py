"""All SQL about businesses. Reads of committed rows take a `ReadConnection`, all else the caller's transaction."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError

from svoykrug_server.businesses.model import Business, BusinessStatus, Category, StaffMember
from svoykrug_server.kit.caller import StaffRole
from svoykrug_server.storage.postgres import ReadConnection, Transaction, driver_error
from svoykrug_server.storage.schema.businesses import business_staff, businesses

_COLUMNS = "id, name, category, sensitive, status, version, create_time, update_time"
_NAME_KEY = "businesses_name_key"

# Which business has this id?
_GET = f"SELECT {_COLUMNS} FROM businesses WHERE id = $1"  # noqa: S608 - constants only

# Which business has this id, and will nobody change it before this transaction ends?
_LOCK = text(f"SELECT {_COLUMNS} FROM businesses WHERE id = :id FOR NO KEY UPDATE")  # noqa: S608 - constants only

# Which businesses come next by name?
_LIST = f"""
    SELECT {_COLUMNS} FROM businesses
    WHERE ($1::uuid IS NULL OR lower(name) > (SELECT lower(name) FROM businesses WHERE id = $1))
        AND ($2::text IS NULL OR category = $2) AND ($3 OR status = 'active')
    ORDER BY lower(name) LIMIT $4
"""  # noqa: S608 - constants only

# Who works at this business, owners first?
_STAFF = """
    SELECT s.user_id, s.role, u.display_name, s.create_time
    FROM business_staff s JOIN users u ON u.id = s.user_id
    WHERE s.business_id = $1 AND u.status <> 'deleted'
    ORDER BY s.role <> 'owner', s.create_time, s.user_id LIMIT $2
"""

# Who has a role at this business, and will none of them sign in before this transaction ends? (in the order of ids, so
# that two such calls never wait in a circle)
_LOCK_STAFF = text(
    """
    SELECT s.user_id FROM business_staff s JOIN users u ON u.id = s.user_id
    WHERE s.business_id = :business_id ORDER BY s.user_id FOR SHARE OF u
    """
)

# Who is this user, and will she neither change nor sign in before this transaction ends? (without a phone nobody can)
_LOCK_PERSON = text(
    """
    SELECT display_name, status = 'active' AND NOT demo AND phone IS NOT NULL AS may_work
    FROM users WHERE id = :user_id FOR SHARE
    """
)

# How many have a role at this business, and at how many has this user one?
_COUNT_STAFF = text(
    """
    SELECT count(*) FILTER (WHERE business_id = :business_id) AS people,
        count(*) FILTER (WHERE user_id = :user_id) AS businesses
    FROM business_staff WHERE business_id = :business_id OR user_id = :user_id
    """
)

# What is this user at this business?
_STAFF_ROLE = text(
    "SELECT role, create_time FROM business_staff WHERE business_id = :business_id AND user_id = :user_id"
)


class NameTaken(Exception):
    """Another business has this name."""


async def get(connection: ReadConnection, business_id: UUID) -> Business | None:
    """Returns a business, or None."""
    row = await connection.fetchrow(_GET, business_id)
    return None if row is None else _business(row)


async def lock(tx: Transaction, business_id: UUID) -> Business | None:
    """Returns a business that nobody else changes before the transaction ends, or None."""
    row = (await tx.execute(_LOCK, {"id": business_id})).first()
    return None if row is None else _business(row)


async def page(
    connection: ReadConnection, after: UUID | None, category: Category | None, *, archived_too: bool, limit: int
) -> list[Business]:
    """Returns the businesses that follow one by name.

    Args:
        connection: A connection of the hot pool.
        after: The last business of the page before; None begins the list.
        category: Only this category; None for all.
        archived_too: Whether archived businesses are listed.
        limit: The most to return.
    """
    rows = await connection.fetch(_LIST, after, category, archived_too, limit)
    return [_business(row) for row in rows]


async def add(tx: Transaction, business: Business) -> bool:
    """Inserts a business and tells whether its name was free."""
    values = {column: getattr(business, column) for column in _COLUMNS.split(", ")}
    # Is the name free? Then there is one business more.
    added = await tx.execute(
        insert(businesses).values(values).on_conflict_do_nothing(index_elements=[func.lower(businesses.c.name)])
    )
    return added.rowcount == 1


async def change(tx: Transaction, business_id: UUID, values: Mapping[str, object], now: datetime) -> None:
    """Writes new values of some columns of a locked business, and the next version.

    Raises:
        NameTaken: Another business has the new name; the transaction is over.
    """
    try:
        # What is it like from now on?
        await tx.execute(
            update(businesses)
            .where(businesses.c.id == business_id)
            .values(**values, version=businesses.c.version + 1, update_time=now)
        )
    except IntegrityError as error:
        if getattr(driver_error(error), "constraint_name", None) == _NAME_KEY:
            raise NameTaken from error
        raise


async def staff(connection: ReadConnection, business_id: UUID, limit: int) -> list[StaffMember]:
    """Returns the people who work at a business, owners first, then by when they were added."""
    rows = await connection.fetch(_STAFF, business_id, limit)
    return [
        StaffMember(row["user_id"], StaffRole(row["role"]), row["display_name"], row["create_time"]) for row in rows
    ]


async def lock_staff(tx: Transaction, business_id: UUID) -> list[UUID]:
    """Returns the users who have a role at a business; none of them signs in before the transaction ends."""
    return list((await tx.execute(_LOCK_STAFF, {"business_id": business_id})).scalars())


async def lock_person(tx: Transaction, user_id: UUID) -> str | None:
    """Returns the name of a user who can sign in and is no demo user, or None.

    Until the transaction ends she neither changes nor signs in.
    A sign-in under way holds the same lock: it ends first, and its access token is among those that the caller ends.
    """
    row = (await tx.execute(_LOCK_PERSON, {"user_id": user_id})).first()
    return row.display_name if row is not None and row.may_work else None


async def count_staff(tx: Transaction, business_id: UUID, user_id: UUID) -> tuple[int, int]:
    """Returns how many have a role at a locked business, able to sign in or not, and at how many a user has one."""
    row = (await tx.execute(_COUNT_STAFF, {"business_id": business_id, "user_id": user_id})).one()
    return row.people, row.businesses


async def staff_role(tx: Transaction, business_id: UUID, user_id: UUID) -> tuple[StaffRole, datetime] | None:
    """Returns what a user is at a business and since when, or None."""
    row = (await tx.execute(_STAFF_ROLE, {"business_id": business_id, "user_id": user_id})).first()
    return None if row is None else (StaffRole(row.role), row.create_time)


async def add_staff(tx: Transaction, business_id: UUID, user_id: UUID, role: StaffRole, now: datetime) -> None:
    """Gives a user who has none a role at a business."""
    # Who works there? One more.
    await tx.execute(
        insert(business_staff).values(
            business_id=business_id, user_id=user_id, role=role.value, create_time=now, update_time=now
        )
    )


async def change_staff(tx: Transaction, business_id: UUID, user_id: UUID, role: StaffRole, now: datetime) -> None:
    """Gives a user who works at a business another role there."""
    # What is she there from now on?
    await tx.execute(
        update(business_staff)
        .where(business_staff.c.business_id == business_id, business_staff.c.user_id == user_id)
        .values(role=role.value, update_time=now)
    )


async def remove_staff(tx: Transaction, business_id: UUID, user_id: UUID) -> bool:
    """Takes a user's role at a business away and tells whether she had one."""
    # Who works there? One less.
    gone = await tx.execute(
        delete(business_staff).where(business_staff.c.business_id == business_id, business_staff.c.user_id == user_id)
    )
    return gone.rowcount == 1


def _business(row: Iterable[Any]) -> Business:
    business_id, name, category, sensitive, status, version, create_time, update_time = row
    return Business(
        business_id, name, Category(category), sensitive, BusinessStatus(status), version, create_time, update_time
    )
