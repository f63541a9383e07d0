"""All SQL about sessions."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text

from svoykrug_server.auth.model import Origin, Session, SessionLimits, Standing
from svoykrug_server.auth.refresh_tokens import RefreshToken
from svoykrug_server.kit.account import RevokeReason
from svoykrug_server.storage.postgres import ReadConnection, Transaction

_COLUMNS = """
    session_id, user_id, device_name, create_time, rotate_time, access_epoch, current_hash, previous_hash, salt,
    rotation_kid, rotation_request_id, revoke_time
"""
_ALIVE = "revoke_time IS NULL AND rotate_time > {idle_since} AND create_time > {absolute_since}"

# What is the new session?
_INSERT = text(
    """
    INSERT INTO auth_sessions (
        session_id, user_id, device_name, create_time, rotate_time, access_epoch, current_hash, salt, rotation_kid,
        rotation_request_id
    ) VALUES (
        :session_id, :user_id, :device_name, :create_time, :rotate_time, :access_epoch, :current_hash, :salt,
        :rotation_kid, :rotation_request_id
    )
    """
)

# How does this session stand, and will nobody change it before this transaction ends?
_LOCK = text(f"SELECT {_COLUMNS} FROM auth_sessions WHERE session_id = :session_id FOR UPDATE")  # noqa: S608  constants only

# Is this the present token of a living session, and which one follows it from now on? And was its user not seen for a
# day, so that she is now? (after the session, as whoever ends sessions does it)
_ROTATE = f"""
    WITH rotated AS (
        UPDATE auth_sessions SET previous_hash = current_hash, current_hash = $3, salt = $4, rotation_kid = $5,
            rotation_request_id = $6, rotate_time = $7
        WHERE session_id = $1 AND current_hash = $2 AND {_ALIVE.format(idle_since="$8", absolute_since="$9")}
        RETURNING {_COLUMNS}
    ), seen AS (
        UPDATE auth_last_seen SET seen_time = $7 WHERE user_id = (SELECT user_id FROM rotated) AND seen_time <= $10
    )
    SELECT {_COLUMNS} FROM rotated
"""  # noqa: S608  constants only

# Which of these sessions lived and ends now? (in the order of ids, so that two such calls never wait in a circle)
_REVOKE = text(
    """
    WITH locked AS (
        SELECT session_id FROM auth_sessions
        WHERE user_id = :user_id AND revoke_time IS NULL
            AND (CAST(:only AS uuid) IS NULL OR session_id = :only)
            AND (CAST(:but AS uuid) IS NULL OR session_id <> :but)
        ORDER BY session_id FOR UPDATE
    )
    UPDATE auth_sessions AS s SET revoke_time = :now, revoke_reason = :reason, access_epoch = access_epoch + 1
    FROM locked WHERE s.session_id = locked.session_id
    RETURNING s.session_id, s.access_epoch
    """
)

# Whose access tokens of which sessions are stale from now on?
_RAISE_EPOCH = text(
    """
    WITH locked AS (
        SELECT session_id FROM auth_sessions WHERE user_id = :user_id AND revoke_time IS NULL
        ORDER BY session_id FOR UPDATE
    )
    UPDATE auth_sessions AS s SET access_epoch = access_epoch + 1
    FROM locked WHERE s.session_id = locked.session_id
    RETURNING s.session_id, s.access_epoch
    """
)

# Is this session the user's own, alive or not?
_OWNED = text("SELECT 1 FROM auth_sessions WHERE session_id = :session_id AND user_id = :user_id")

# Which sessions of this user are too many? (those used last stay)
_BEYOND = text(
    """
    SELECT session_id FROM auth_sessions WHERE user_id = :user_id AND revoke_time IS NULL
    ORDER BY rotate_time DESC, session_id OFFSET :most
    """
)

# When was this session signed in to?
_SIGN_IN_TIME = text("SELECT create_time FROM auth_sessions WHERE session_id = :session_id AND revoke_time IS NULL")

# Which sessions of this user are alive?
_LIST = f"""
    SELECT {_COLUMNS} FROM auth_sessions
    WHERE user_id = $1 AND {_ALIVE.format(idle_since="$2", absolute_since="$3")}
    ORDER BY rotate_time DESC, session_id LIMIT $4
"""  # noqa: S608  constants only

# Is this session alive, and how fresh must its access tokens be?
_STANDING = "SELECT access_epoch, revoke_time FROM auth_sessions WHERE session_id = $1"

# Which sessions can nobody refresh any more, nor come back to with an old token?
_FORGET = text(
    """
    DELETE FROM auth_sessions
    WHERE rotate_time < :idle_since OR create_time < :absolute_since OR revoke_time < :idle_since
    """
)


async def beyond(tx: Transaction, user_id: UUID, most: int) -> tuple[UUID, ...]:
    """Returns the sessions of a user that have not ended, all but so many of those used last."""
    return tuple((await tx.execute(_BEYOND, {"user_id": user_id, "most": most})).scalars())


async def sign_in_time(tx: Transaction, session_id: UUID) -> datetime | None:
    """Returns when a session that has not ended was signed in to, or None."""
    found: datetime | None = (await tx.execute(_SIGN_IN_TIME, {"session_id": session_id})).scalar_one_or_none()
    return found


async def insert(tx: Transaction, session: Session) -> None:
    """Keeps a new session."""
    await tx.execute(
        _INSERT,
        {
            "session_id": session.session_id,
            "user_id": session.user_id,
            "device_name": session.device_name,
            "create_time": session.create_time,
            "rotate_time": session.rotate_time,
            "access_epoch": session.access_epoch,
            "current_hash": session.current_hash,
            "salt": session.salt,
            "rotation_kid": session.rotation_kid,
            "rotation_request_id": session.rotation_request_id,
        },
    )


async def lock(tx: Transaction, session_id: UUID) -> Session | None:
    """Returns a session that nobody else changes before the transaction ends, or None."""
    row = (await tx.execute(_LOCK, {"session_id": session_id})).mappings().one_or_none()
    return None if row is None else _session(row)


async def rotate(
    tx: Transaction, token: RefreshToken, following: RefreshToken, origin: Origin, limits: SessionLimits, now: datetime
) -> Session | None:
    """Puts the following refresh token in the place of the presented one, which becomes the previous one.

    Nobody else changes the session before the transaction ends. Whoever changed it at the same moment is waited for,
    and what she left is what is compared.

    Returns:
        The session as it is then, or None, with nothing changed, when the presented token is not its present one or the
        session is over.
    """
    row = await tx.fetchrow(
        _ROTATE,
        token.session_id,
        token.secret_hash,
        following.secret_hash,
        origin.salt,
        origin.kid,
        origin.request_id,
        now,
        now - limits.idle,
        now - limits.absolute,
        now - timedelta(days=1),
    )
    return None if row is None else _session(row)


async def end(
    tx: Transaction,
    user_id: UUID,
    reason: RevokeReason,
    now: datetime,
    *,
    only: UUID | None = None,
    but: UUID | None = None,
) -> dict[UUID, int]:
    """Ends a user's living sessions: all, `only` one, or all `but` one.

    Returns:
        The epoch of each ended session, above that of all its access tokens.
    """
    parameters = {"user_id": user_id, "reason": reason.value, "now": now, "only": only, "but": but}
    return {row.session_id: row.access_epoch for row in await tx.execute(_REVOKE, parameters)}


async def raise_epoch(tx: Transaction, user_id: UUID) -> dict[UUID, int]:
    """Makes every access token of a user stale; returns the new epoch of each of her sessions."""
    return {row.session_id: row.access_epoch for row in await tx.execute(_RAISE_EPOCH, {"user_id": user_id})}


async def is_owned(tx: Transaction, session_id: UUID, user_id: UUID) -> bool:
    """Tells whether a session, alive or ended, is a user's own."""
    return (await tx.execute(_OWNED, {"session_id": session_id, "user_id": user_id})).one_or_none() is not None


async def alive(
    connection: ReadConnection, user_id: UUID, *, idle_since: datetime, absolute_since: datetime, most: int
) -> tuple[Session, ...]:
    """Returns a user's living sessions, the one last used first."""
    return tuple(_session(row) for row in await connection.fetch(_LIST, user_id, idle_since, absolute_since, most))


async def standing(connection: ReadConnection, session_id: UUID) -> Standing | None:
    """Returns how a session stands, or None where there is none."""
    row = await connection.fetchrow(_STANDING, session_id)
    return None if row is None else Standing(row["access_epoch"], row["revoke_time"] is not None)


async def forget(tx: Transaction, idle_since: datetime, absolute_since: datetime) -> int:
    """Deletes sessions that nothing hangs on any more, and returns how many there were."""
    return (await tx.execute(_FORGET, {"idle_since": idle_since, "absolute_since": absolute_since})).rowcount


def _session(row: Any) -> Session:
    return Session(
        session_id=row["session_id"],
        user_id=row["user_id"],
        device_name=row["device_name"],
        create_time=row["create_time"],
        rotate_time=row["rotate_time"],
        access_epoch=row["access_epoch"],
        current_hash=row["current_hash"],
        previous_hash=row["previous_hash"],
        salt=row["salt"],
        rotation_kid=row["rotation_kid"],
        rotation_request_id=row["rotation_request_id"],
        revoke_time=row["revoke_time"],
    )
