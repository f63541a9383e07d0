"""All SQL about service accounts, their keys, and the assertions they used."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from svoykrug_server.auth.key_model import AssertionKey, ServiceAccount, ServiceKey
from svoykrug_server.auth.model import Standing
from svoykrug_server.storage.postgres import ReadConnection, Transaction

_KEYS = "FROM auth_service_keys k WHERE k.service_account_id = a.service_account_id ORDER BY k.create_time, k.kid"
_COLUMNS = f"""
    a.service_account_id, a.name, a.scopes, a.access_epoch, a.create_time, a.disable_time,
    ARRAY(SELECT k.kid {_KEYS}) AS key_ids,
    ARRAY(SELECT k.algorithm {_KEYS}) AS key_algorithms,
    ARRAY(SELECT k.create_time {_KEYS}) AS key_create_times
"""

# What is the new account? (nothing where the name is taken)
_INSERT = text(
    """
    INSERT INTO auth_service_accounts (service_account_id, name, scopes, create_time)
    VALUES (:service_account_id, :name, :scopes, :create_time)
    ON CONFLICT (name) DO NOTHING RETURNING service_account_id
    """
)

# Which key may the account sign with?
_INSERT_KEY = text(
    """
    INSERT INTO auth_service_keys (service_account_id, kid, algorithm, public_key, create_time)
    VALUES (:service_account_id, :kid, :algorithm, :public_key, :now)
    """
)

# Which key may the account sign with no more?
_DELETE_KEY = text("DELETE FROM auth_service_keys WHERE service_account_id = :service_account_id AND kid = :kid")

# Which accounts follow a name?
_PAGE = f"SELECT {_COLUMNS} FROM auth_service_accounts a WHERE a.name > $1 ORDER BY a.name LIMIT $2"  # noqa: S608  constants only

# Which account has this name?
_NAMED = f"SELECT {_COLUMNS} FROM auth_service_accounts a WHERE a.name = $1"  # noqa: S608  constants only

# Which account has this id?
_GET = text(f"SELECT {_COLUMNS} FROM auth_service_accounts a WHERE a.service_account_id = :service_account_id")  # noqa: S608  constants only

# Will nobody change this account before this transaction ends? (asked alone: what is read next is of after the wait)
_LOCK = text("SELECT 1 FROM auth_service_accounts WHERE service_account_id = :service_account_id FOR UPDATE")

# Which of the account's keys has this id?
_KEY = text(
    """
    SELECT kid, algorithm, public_key FROM auth_service_keys
    WHERE service_account_id = :service_account_id AND kid = :kid
    """
)

# Is this the first time the assertion is used?
_USE_ASSERTION = text(
    """
    INSERT INTO auth_used_assertions (service_account_id, jti_hash, expire_time)
    VALUES (:service_account_id, :jti_hash, :expire_time) ON CONFLICT DO NOTHING RETURNING service_account_id
    """
)

# How does the account stand from now on?
_CHANGE = text(
    """
    UPDATE auth_service_accounts SET scopes = :scopes, disable_time = :disable_time, access_epoch = :access_epoch
    WHERE service_account_id = :service_account_id
    """
)

# Is this account alive, and how fresh must its access tokens be?
_STANDING = "SELECT access_epoch, disable_time FROM auth_service_accounts WHERE service_account_id = $1"

# Which assertions would be refused anyway?
_FORGET = text("DELETE FROM auth_used_assertions WHERE expire_time < :before")


async def insert(tx: Transaction, account: ServiceAccount) -> bool:
    """Keeps a new account; tells whether its name was free."""
    values = {
        "service_account_id": account.service_account_id,
        "name": account.name,
        "scopes": sorted(account.scopes),
        "create_time": account.create_time,
    }
    return (await tx.execute(_INSERT, values)).one_or_none() is not None


async def insert_key(tx: Transaction, service_account_id: UUID, key: AssertionKey, now: datetime) -> None:
    """Lets an account sign with a key that it has not yet."""
    values = {"kid": key.kid, "algorithm": key.algorithm, "public_key": key.public_key}
    await tx.execute(_INSERT_KEY, values | {"service_account_id": service_account_id, "now": now})


async def delete_key(tx: Transaction, service_account_id: UUID, kid: str) -> None:
    """Keeps an account from signing with a key."""
    await tx.execute(_DELETE_KEY, {"service_account_id": service_account_id, "kid": kid})


async def page(connection: ReadConnection, after: str, most: int) -> tuple[ServiceAccount, ...]:
    """Returns the accounts that follow a name, by name."""
    return tuple(_account(row) for row in await connection.fetch(_PAGE, after, most))


async def named(connection: ReadConnection, name: str) -> ServiceAccount | None:
    """Returns the account with a name, or None."""
    row = await connection.fetchrow(_NAMED, name)
    return None if row is None else _account(row)


async def get(tx: Transaction, service_account_id: UUID) -> ServiceAccount | None:
    """Returns an account, or None."""
    row = (await tx.execute(_GET, {"service_account_id": service_account_id})).mappings().one_or_none()
    return None if row is None else _account(row)


async def lock(tx: Transaction, service_account_id: UUID) -> ServiceAccount | None:
    """Returns an account that nobody else changes before the transaction ends, or None."""
    await tx.execute(_LOCK, {"service_account_id": service_account_id})
    return await get(tx, service_account_id)


async def key(tx: Transaction, service_account_id: UUID, kid: str) -> AssertionKey | None:
    """Returns one key of an account, or None."""
    row = (await tx.execute(_KEY, {"service_account_id": service_account_id, "kid": kid})).one_or_none()
    return None if row is None else AssertionKey(row.kid, row.algorithm, row.public_key)


async def change(tx: Transaction, account: ServiceAccount) -> None:
    """Keeps what an account may do, since when it is shut out, and its epoch."""
    values = {
        "service_account_id": account.service_account_id,
        "scopes": sorted(account.scopes),
        "disable_time": account.disable_time,
        "access_epoch": account.access_epoch,
    }
    await tx.execute(_CHANGE, values)


async def use_assertion(tx: Transaction, service_account_id: UUID, jti_hash: bytes, expire_time: datetime) -> bool:
    """Uses an assertion up; tells whether it was new. Of any number of uses at once, one gets True."""
    values = {"service_account_id": service_account_id, "jti_hash": jti_hash, "expire_time": expire_time}
    return (await tx.execute(_USE_ASSERTION, values)).one_or_none() is not None


async def standing(connection: ReadConnection, service_account_id: UUID) -> Standing | None:
    """Returns how an account stands, or None where there is none."""
    row = await connection.fetchrow(_STANDING, service_account_id)
    return None if row is None else Standing(row["access_epoch"], row["disable_time"] is not None)


async def forget(tx: Transaction, before: datetime) -> int:
    """Deletes used assertions that expired before an instant, and returns how many there were."""
    return (await tx.execute(_FORGET, {"before": before})).rowcount


def _account(row: Any) -> ServiceAccount:
    keys = zip(row["key_ids"], row["key_algorithms"], row["key_create_times"], strict=True)
    return ServiceAccount(
        service_account_id=row["service_account_id"],
        name=row["name"],
        scopes=frozenset(row["scopes"]),
        access_epoch=row["access_epoch"],
        create_time=row["create_time"],
        disable_time=row["disable_time"],
        keys=tuple(ServiceKey(*key) for key in keys),
    )
