"""All SQL about users. Reads of committed rows take a `ReadConnection`, everything else the caller's transaction."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import insert, text, update
from sqlalchemy.dialects import postgresql

from svoykrug_server.kit.account import Account, AccountStatus, ConsentGrant, PersonClaims
from svoykrug_server.kit.caller import Role, StaffRole
from svoykrug_server.storage import audit
from svoykrug_server.storage.audit import AuditEvent
from svoykrug_server.storage.postgres import ReadConnection, Transaction
from svoykrug_server.storage.schema.users import member_links, user_consents, users
from svoykrug_server.users.model import Locale, Tier, UnclaimedMember, User

# What is she at which business? (nothing where it is archived)
_STAFF = """ARRAY(
    SELECT s.business_id::text || ' ' || s.role FROM business_staff s JOIN businesses b ON b.id = s.business_id
    WHERE s.user_id = u.id AND b.status = 'active'
)"""
COLUMNS = f"""
    u.id, u.phone, u.display_name, u.email, u.birth_date, u.locale, u.tier, u.roles, {_STAFF} AS staff,
    u.status, u.version, u.referral_code, u.create_time, u.update_time
"""
"""What a user is made of, selected from a table or query named `u`."""

# Who is the user with this id?
_GET = f"SELECT {COLUMNS} FROM users u WHERE u.id = $1"  # noqa: S608 - constants only

# Who are the users with these ids?
_GET_ALL = f"SELECT {COLUMNS} FROM users u WHERE u.id = ANY($1)"  # noqa: S608 - constants only

# Who is the user with this id, and will nobody change her before this transaction ends?
_LOCK = text(f"SELECT {COLUMNS} FROM users u WHERE u.id = :user_id FOR NO KEY UPDATE OF u")  # noqa: S608 - constants only

# What was she like, whom nobody changes before this transaction ends, and is she changed from now on? (unless she is
# deleted, is like that already, or is not as the caller believes; what is done is audited)
_CHANGE_PROFILE = """
    WITH was AS MATERIALIZED (
        SELECT {columns} FROM users u WHERE u.id = {user_id} FOR NO KEY UPDATE OF u
    ), done AS (
        UPDATE users SET {assignments}, version = users.version + 1, update_time = $2
        FROM was
        WHERE users.id = was.id AND was.status <> 'deleted' AND CAST({etag} AS text) IN ('', CAST(was.version AS text))
            AND ({differences})
        RETURNING users.id
    ), audited AS ({audit})
    SELECT was.*, EXISTS (SELECT FROM done) AS changed FROM was
"""
_PROFILE_TYPES = {"display_name": "text", "email": "text", "birth_date": "date", "locale": "text"}

# Who has this phone, and will nobody change her before this transaction ends?
_LOCK_BY_PHONE = text("SELECT id, status, roles, birth_date, demo FROM users WHERE phone = :phone FOR NO KEY UPDATE")

# Nobody has this phone: will nobody else join with it before this transaction ends?
_RESERVE_PHONE = text("SELECT pg_advisory_xact_lock(hashtextextended('users.phone ' || :phone, 0))")

# Which of these members are new? (in the order of phones, so that two batches never wait for each other in a circle)
_INSERT_UNCLAIMED = text(
    """
    WITH input AS (
        SELECT * FROM unnest(
            CAST(:ids AS uuid[]), CAST(:member_ids AS bigint[]), CAST(:phones AS text[]), CAST(:display_names AS text[])
        ) AS rows (id, member_id, phone, display_name)
    ), created AS (
        INSERT INTO users (id, phone, display_name, status, create_time, update_time)
        SELECT id, phone, display_name, 'unclaimed', :now, :now FROM input ORDER BY phone
        ON CONFLICT (phone) DO NOTHING
        RETURNING id, phone
    ), linked AS (
        INSERT INTO member_links (user_id, member_id)
        SELECT created.id, input.member_id FROM created JOIN input USING (id)
    )
    SELECT phone, id FROM created
    """
)

# Which users have these phones?
_IDS_BY_PHONE = text("SELECT phone, id FROM users WHERE phone = ANY(CAST(:phones AS text[]))")

# Whose referral code is this?
_REFERRER = text("SELECT id FROM users WHERE referral_code = :code AND status = 'active'")

# Which of these referral codes is still free?
_FREE_CODE = text(
    """
    SELECT candidate FROM unnest(CAST(:candidates AS text[])) AS candidate
    WHERE NOT EXISTS (SELECT FROM users WHERE referral_code = candidate) LIMIT 1
    """
)

# When did a partner last deal with this member, as far as it says? (her last purchase, else the day it brought her)
_DEALT_WITH = text(
    """
    SELECT coalesce(
        (SELECT max(purchase_time) FROM purchase_entries JOIN member_links USING (member_id)
            WHERE user_id = users.id AND kind = 1),
        create_time
    ) FROM users WHERE id = :user_id
    """
)

# Who is the member that joins: a new one, or the unclaimed one with this phone?
_JOIN = text(
    """
    INSERT INTO users (
        id, phone, locale, status, referral_code, referrer_id, demo, join_time, create_time, update_time
    )
    VALUES (:id, :phone, :locale, 'active', :referral_code, :referrer_id, :demo, :now, :now, :now)
    ON CONFLICT (phone) DO UPDATE SET
        locale = excluded.locale, status = 'active', referral_code = excluded.referral_code,
        referrer_id = excluded.referrer_id, join_time = excluded.join_time, version = users.version + 1,
        update_time = excluded.update_time
    WHERE users.status = 'unclaimed'
    RETURNING id
    """
)

# Does nobody else take a superadmin away until the transaction ends?
_LOCK_SUPERADMINS = text("SELECT pg_advisory_xact_lock(hashtextextended('users.superadmins', 0))")

# Is anybody but this user a superadmin who can sign in?
_OTHER_SUPERADMIN = text(
    "SELECT EXISTS (SELECT FROM users WHERE 'superadmin' = ANY (roles) AND status = 'active' AND phone IS NOT NULL"
    " AND id <> :user_id)"
)

# What does an access token say of this user, as of now?
_CLAIMS = (
    f"SELECT u.status, u.roles, u.tier, u.phone, u.locale, {_STAFF} AS staff, e.erase_time "  # noqa: S608 - constants only
    "FROM users u LEFT JOIN erasures e ON e.user_id = u.id WHERE u.id = $1"
)


# Looked up in C; an enum's own way from a value to its member takes ten times as long.
_LOCALES = {each.value: each for each in Locale}
_ROLES = {each.value: each for each in Role}
_STATES = {each.value: each for each in AccountStatus}
_TIERS = {each.value: each for each in Tier}


async def get(connection: ReadConnection, user_id: UUID) -> User | None:
    """Returns a user, or None; one statement on the hot pool."""
    row = await connection.fetchrow(_GET, user_id)
    return None if row is None else user_from_row(row)


async def get_all(connection: ReadConnection, user_ids: Sequence[UUID]) -> list[User]:
    """Returns the users that exist, in any order."""
    return [user_from_row(row) for row in await connection.fetch(_GET_ALL, list(user_ids))]


async def lock(tx: Transaction, user_id: UUID) -> User | None:
    """Returns a user, whom nobody else changes before the transaction ends, or None."""
    row = (await tx.execute(_LOCK, {"user_id": user_id})).first()
    return None if row is None else user_from_row(row)


async def change(tx: Transaction, user_id: UUID, values: Mapping[str, object], now: datetime) -> None:
    """Writes new values of some columns of a locked user, and the next version."""
    # What is she like from now on?
    await tx.execute(
        update(users).where(users.c.id == user_id).values(**values, version=users.c.version + 1, update_time=now)
    )


async def change_profile(
    tx: Transaction, user_id: UUID, values: Mapping[str, object], etag: str, event: AuditEvent
) -> tuple[User, bool] | None:
    """Changes a user's profile with an audit event, and locks her until the transaction ends.

    Args:
        tx: The transaction.
        user_id: The user.
        values: New values of some fields.
        etag: What she is to be like now; empty for whatever she is like.
        event: What is told of the change, which has its time.

    Returns:
        What she was like, and whether she was changed: unless she is deleted, has the values already, or another etag;
        None when there is no such user.
    """
    # Ours are numbers. Whatever else it is, PostgreSQL may refuse to look at it.
    known_etag = etag if not etag or etag.isdecimal() else "unknown"
    parameters = *audit.parameters_of(event), user_id, known_etag, *values.values()
    row = await tx.fetchrow(_profile_change(tuple(values)), *parameters)
    return None if row is None else (user_from_row(row[:-1]), row["changed"])


@cache
def _profile_change(fields: tuple[str, ...]) -> str:
    user_id, etag, *places = (f"${audit.APPEND_PARAMETERS + 1 + number}" for number in range(2 + len(fields)))
    new = {field: f"CAST({place} AS {_PROFILE_TYPES[field]})" for field, place in zip(fields, places, strict=True)}
    return _CHANGE_PROFILE.format(
        columns=COLUMNS,
        user_id=user_id,
        etag=etag,
        assignments=", ".join(f"{field} = {value}" for field, value in new.items()),
        differences=" OR ".join(f"was.{field} IS DISTINCT FROM {value}" for field, value in new.items()),
        audit=audit.APPEND,
    )


async def lock_by_phone(tx: Transaction, phone: str) -> tuple[Account, frozenset[Role]] | None:
    """Returns who has a phone and her roles, or None; until the transaction ends nobody else joins with it."""
    row = (await tx.execute(_LOCK_BY_PHONE, {"phone": phone})).first()
    if row is None:
        await tx.execute(_RESERVE_PHONE, {"phone": phone})
        row = (await tx.execute(_LOCK_BY_PHONE, {"phone": phone})).first()
    if row is None:
        return None
    account = Account(row.id, AccountStatus(row.status), row.birth_date, row.demo)
    return account, frozenset(map(Role, row.roles))


async def dealt_with_time(tx: Transaction, user_id: UUID) -> datetime | None:
    """Returns when a partner last dealt with a member, as far as it says, or None when there is no such user."""
    found: datetime | None = (await tx.execute(_DEALT_WITH, {"user_id": user_id})).scalar()
    return found


async def insert_unclaimed(tx: Transaction, members: Sequence[UnclaimedMember], now: datetime) -> dict[str, UUID]:
    """Inserts members whose phones are free, with their member links, and returns the new ids by phone.

    Args:
        tx: The transaction of the batch.
        members: Members with distinct phones.
        now: The instant they are created at.
    """
    columns = {
        "ids": [member.id for member in members],
        "member_ids": [member.member_id for member in members],
        "phones": [member.phone for member in members],
        "display_names": [member.display_name for member in members],
    }
    created = await tx.execute(_INSERT_UNCLAIMED, {**columns, "now": now})
    return {row.phone: row.id for row in created}


async def ids_by_phone(tx: Transaction, phones: Sequence[str]) -> dict[str, UUID]:
    """Returns the ids of the users who have these phones, by phone."""
    found = await tx.execute(_IDS_BY_PHONE, {"phones": list(phones)})
    return {row.phone: row.id for row in found}


async def referrer(tx: Transaction, code: str) -> UUID | None:
    """Returns the active user whose referral code this is, or None."""
    found: UUID | None = (await tx.execute(_REFERRER, {"code": code})).scalar()
    return found


async def free_referral_code(tx: Transaction, candidates: Sequence[str]) -> str:
    """Returns the first of a few random codes that nobody has.

    Raises:
        LookupError: All of them are taken.
    """
    code: str | None = (await tx.execute(_FREE_CODE, {"candidates": list(candidates)})).scalar()
    if code is None:
        raise LookupError("every candidate referral code is taken")
    return code


async def join(tx: Transaction, values: Mapping[str, Any]) -> UUID | None:
    """Inserts an active member, or claims the unclaimed one with her phone.

    Args:
        tx: The transaction of the sign-in.
        values: id, phone, locale, referral_code, referrer_id, demo and now; the id is unused when a member is claimed.

    Returns:
        The member's id, or None when the phone's user is neither new nor unclaimed.
    """
    joined: UUID | None = (await tx.execute(_JOIN, values)).scalar()
    return joined


async def link_member(tx: Transaction, user_id: UUID, member_id: int) -> None:
    """Gives a user the number that purchases know her by, unless she has one."""
    # What will purchases know her by?
    await tx.execute(
        postgresql.insert(member_links).values(user_id=user_id, member_id=member_id).on_conflict_do_nothing()
    )


async def add_consents(tx: Transaction, user_id: UUID, consents: Sequence[ConsentGrant], now: datetime) -> None:
    """Appends what a user consented to and what not; at least one."""
    rows = [
        {"kind": consent.kind, "document_version": consent.document_version, "granted": consent.granted}
        for consent in consents
    ]
    # What did she allow, of which text, and when?
    await tx.execute(insert(user_consents), [{**row, "user_id": user_id, "consent_time": now} for row in rows])


async def lock_superadmins(tx: Transaction) -> None:
    """Keeps whoever takes a superadmin away waiting until the transaction ends."""
    await tx.execute(_LOCK_SUPERADMINS)


async def has_other_superadmin(tx: Transaction, user_id: UUID) -> bool:
    """Tells whether anybody but a user is a superadmin who can sign in."""
    return bool((await tx.execute(_OTHER_SUPERADMIN, {"user_id": user_id})).scalar())


async def claims(tx: Transaction, user_id: UUID) -> PersonClaims | None:
    """Returns what an access token says of a user, or None when there is no such user."""
    row = await tx.fetchrow(_CLAIMS, user_id)
    if row is None:
        return None
    return PersonClaims(
        status=AccountStatus(row["status"]),
        roles=frozenset(map(Role, row["roles"])),
        tier=row["tier"],
        phone=row["phone"],
        locale=row["locale"],
        staff=dict(map(_staff_role, row["staff"])),
        erase_time=row["erase_time"],
    )


def user_from_row(row: Iterable[Any]) -> User:
    """Returns the user of a row of `COLUMNS`."""
    user_id, phone, name, email, birth_date, locale, tier, roles, staff, status, version, code, created, updated = row
    return User(
        id=user_id,
        phone=phone,
        display_name=name,
        email=email,
        birth_date=birth_date,
        locale=_LOCALES[locale],
        tier=_TIERS[tier],
        roles=frozenset(map(_ROLES.__getitem__, roles)),
        staff=tuple(sorted(map(_staff_role, staff))) if staff else (),
        status=_STATES[status],
        version=version,
        referral_code=code or "",
        create_time=created,
        update_time=updated,
    )


def _staff_role(entry: str) -> tuple[UUID, StaffRole]:
    business_id, role = entry.split(" ")
    return UUID(business_id), StaffRole(role)
