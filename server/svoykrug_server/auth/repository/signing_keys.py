"""All SQL about signing keys."""

from datetime import datetime
from typing import Any

from sqlalchemy import text

from svoykrug_server.auth.key_model import KeyState, SigningKeyRecord
from svoykrug_server.storage.postgres import Transaction

_COLUMNS = """
    kid, algorithm, state, public_key, sealed_private_key, encryption_kid,
    create_time, activate_time, retire_time, verify_until_time
"""

# Will nobody else change the keys before this transaction ends?
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('auth signing keys', 0))")

# Which keys sign, will sign, or signed tokens that are still alive?
_LIVE = text(
    f"""
    SELECT {_COLUMNS} FROM auth_signing_keys
    WHERE verify_until_time IS NULL OR verify_until_time > :now ORDER BY create_time, kid
    """  # noqa: S608  constants only
)

# Which key has this id?
_GET = text(f"SELECT {_COLUMNS} FROM auth_signing_keys WHERE kid = :kid")  # noqa: S608  constants only

# What is the new key?
_INSERT = text(
    f"""
    INSERT INTO auth_signing_keys ({_COLUMNS}) VALUES (
        :kid, :algorithm, :state, :public_key, :sealed_private_key, :encryption_kid,
        :create_time, :activate_time, :retire_time, :verify_until_time
    )
    """  # noqa: S608  constants only
)

# Which key signs from now on?
_ACTIVATE = text(
    "UPDATE auth_signing_keys SET state = 'active', activate_time = :now WHERE kid = :kid AND state = 'next'"
)

# Which key signs no more, and until when are its tokens taken? (its private half is of use to thieves only)
_RETIRE = text(
    """
    UPDATE auth_signing_keys
    SET state = 'retired', sealed_private_key = '', retire_time = coalesce(retire_time, :now),
        verify_until_time = :verify_until_time
    WHERE kid = :kid
    """
)


async def lock(tx: Transaction) -> None:
    """Keeps every other server from changing the keys until the transaction ends."""
    await tx.execute(_LOCK)


async def live(tx: Transaction, now: datetime) -> tuple[SigningKeyRecord, ...]:
    """Returns the keys that sign, will sign, or signed tokens still alive, the oldest first."""
    return tuple(_record(row) for row in await tx.execute(_LIVE, {"now": now}))


async def get(tx: Transaction, kid: str) -> SigningKeyRecord | None:
    """Returns a key, also one whose tokens are long dead, or None."""
    row = (await tx.execute(_GET, {"kid": kid})).one_or_none()
    return None if row is None else _record(row)


async def insert(tx: Transaction, key: SigningKeyRecord) -> None:
    """Keeps a new key."""
    await tx.execute(
        _INSERT,
        {
            "kid": key.kid,
            "algorithm": key.algorithm,
            "state": key.state.value,
            "public_key": key.public_key,
            "sealed_private_key": key.sealed_private_key,
            "encryption_kid": key.encryption_kid,
            "create_time": key.create_time,
            "activate_time": key.activate_time,
            "retire_time": key.retire_time,
            "verify_until_time": key.verify_until_time,
        },
    )


async def activate(tx: Transaction, kid: str, now: datetime) -> None:
    """Lets a `next` key sign."""
    await tx.execute(_ACTIVATE, {"kid": kid, "now": now})


async def retire(tx: Transaction, kid: str, now: datetime, verify_until_time: datetime) -> None:
    """Stops a key from signing and forgets its private half; its tokens are taken until an instant."""
    await tx.execute(_RETIRE, {"kid": kid, "now": now, "verify_until_time": verify_until_time})


def _record(row: Any) -> SigningKeyRecord:
    return SigningKeyRecord(
        kid=row.kid,
        algorithm=row.algorithm,
        state=KeyState(row.state),
        public_key=row.public_key,
        sealed_private_key=row.sealed_private_key,
        encryption_kid=row.encryption_kid,
        create_time=row.create_time,
        activate_time=row.activate_time,
        retire_time=row.retire_time,
        verify_until_time=row.verify_until_time,
    )
