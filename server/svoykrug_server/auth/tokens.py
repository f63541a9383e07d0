"""Use case: exchanging a refresh token for a new pair, safe to repeat.

| the token presented is       | with                   | answer                                            |
|------------------------------|------------------------|---------------------------------------------------|
| the present one              | any request id         | the next pair; the present one becomes the previous |
| the previous one             | the same request id    | the same refresh token again: the answer was lost |
| the previous one             | another id, within 60 s| the same refresh token again: two tasks raced     |
| the previous one             | another id, later      | the session ends: one of the two is a thief       |
| an older one of ours         | any request id         | the session ends                                  |
| nobody's                     | any request id         | REFRESH_TOKEN_INVALID, and nothing else happens   |
"""

import hmac
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from uuid import UUID

from svoykrug_server.auth.access_tokens import AccessTokens
from svoykrug_server.auth.accounts import Accounts
from svoykrug_server.auth.call import Call, event_of
from svoykrug_server.auth.model import Origin, Revocation, Session, SessionLimits, Tokens
from svoykrug_server.auth.refresh_tokens import RefreshToken, RefreshTokens, random_salt
from svoykrug_server.auth.repository import sessions as repository
from svoykrug_server.auth.revocations import Revocations
from svoykrug_server.auth.session_ends import SessionEnds
from svoykrug_server.auth.sms.queue import SmsQueue
from svoykrug_server.kit.account import AccountStatus, PersonClaims, RevokeReason
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import DomainError, PermissionDenied, Unauthenticated
from svoykrug_server.storage import audit
from svoykrug_server.storage.audit import AuditResult
from svoykrug_server.storage.postgres import Postgres, Transaction


class Standing(Enum):
    """What a presented refresh token is to its session."""

    CURRENT = auto()
    PREVIOUS = auto()
    OLDER = auto()
    FOREIGN = auto()


@dataclass(frozen=True, slots=True)
class Compromised:
    """A session that ended because an old token of it was used again.

    Attributes:
        ended: For this server to hear once the transaction has committed.
    """

    ended: tuple[Revocation, ...]


class _ShutOut(Exception):
    """A token was rotated whose bearer may not go on."""


class TokenRotation:
    """Exchanges refresh tokens.

    Args:
        postgres: Where sessions are kept.
        accounts: The people of the circle.
        access: Makes access tokens.
        refresh: Derives refresh tokens.
        ends: Ends sessions.
        revocations: What this server knows to be ended.
        sms: The queue of SMS.
        limits: How long tokens live.
        clock: Tells the time.
    """

    def __init__(
        self,
        postgres: Postgres,
        accounts: Accounts,
        access: AccessTokens,
        refresh: RefreshTokens,
        ends: SessionEnds,
        revocations: Revocations,
        sms: SmsQueue,
        limits: SessionLimits,
        clock: Clock,
    ) -> None:
        self._postgres = postgres
        self._accounts = accounts
        self._access = access
        self._refresh = refresh
        self._ends = ends
        self._revocations = revocations
        self._sms = sms
        self._limits = limits
        self._clock = clock

    async def refresh(self, refresh_token: str, request_id: UUID, call: Call) -> Tokens:
        """Exchanges a refresh token for a new pair.

        Args:
            refresh_token: What the client kept.
            request_id: Made and kept by the client before the call; the same for a repeat.
            call: Where it came from.

        Raises:
            Unauthenticated: REFRESH_TOKEN_INVALID, SESSION_REVOKED or SESSION_COMPROMISED.
            PermissionDenied: USER_BANNED.
        """
        token = RefreshToken.parse(refresh_token)
        if token is None:
            raise Unauthenticated("REFRESH_TOKEN_INVALID")
        try:
            async with self._postgres.transaction() as tx:
                outcome = await self._at_once(tx, token, request_id) or await self._exchange(
                    tx, token, request_id, call
                )
        except _ShutOut:
            async with self._postgres.transaction() as tx:
                outcome = await self._exchange(tx, token, request_id, call)
        if isinstance(outcome, Compromised):
            for revocation in outcome.ended:
                self._revocations.hear(revocation)
            self._sms.wake()
            raise Unauthenticated("SESSION_COMPROMISED")
        if isinstance(outcome, DomainError):
            raise outcome
        return outcome

    def pair(self, session: Session, claims: PersonClaims, token: RefreshToken, now: datetime) -> Tokens:
        """Makes the pair of a session whose present refresh token is known."""
        access_token, expire_time = self._access.for_person(session, claims, now)
        return Tokens(access_token, expire_time, token.render(), session.expire_time(self._limits))

    async def _at_once(self, tx: Transaction, token: RefreshToken, request_id: UUID) -> Tokens | None:
        """Rotates before anything is read, as nearly every refresh needs; None when that is not how the token stands.

        The session's row stays locked until the commit, and the claims are read after it was: whoever changes them and
        ends tokens of the old ones was waited for, or waits.

        Raises:
            _ShutOut: She may not go on, so the rotation is to be undone.
        """
        now = self._clock.now()
        rotated = await self._rotate(tx, token, request_id, now)
        if rotated is None:
            return None
        session, following = rotated
        claims = await self._accounts.claims(tx, session.user_id)
        if claims is None or _shut_out(claims) is not None:
            raise _ShutOut
        return self.pair(session, claims, following, now)

    async def _exchange(
        self, tx: Transaction, token: RefreshToken, request_id: UUID, call: Call
    ) -> Tokens | DomainError | Compromised:
        session = await repository.lock(tx, token.session_id)
        if session is None:
            return _invalid()
        now = self._clock.now()
        standing = self._standing(session, token)
        refusal = self._over(session, standing, now)
        if refusal is not None:
            return refusal
        claims = await self._accounts.claims(tx, session.user_id)
        if claims is None:
            return _invalid()
        if not self._may_repeat(session, standing, request_id, now):
            return await self._compromised(tx, session, claims, call, now)
        if standing is Standing.PREVIOUS:
            return _shut_out(claims) or self._repeat(session, claims, token, now)
        return _shut_out(claims) or await self._proceed(tx, claims, token, request_id, now)

    def _over(self, session: Session, standing: Standing, now: datetime) -> DomainError | None:
        if standing is Standing.FOREIGN or now >= session.expire_time(self._limits):
            return _invalid()
        return None if session.revoke_time is None else Unauthenticated("SESSION_REVOKED")

    def _repeat(
        self, session: Session, claims: PersonClaims, token: RefreshToken, now: datetime
    ) -> Tokens | DomainError:
        following = self._refresh.next(token, session.salt, session.rotation_kid)
        return _invalid() if following is None else self.pair(session, claims, following, now)

    def _standing(self, session: Session, token: RefreshToken) -> Standing:
        presented = token.secret_hash
        if hmac.compare_digest(presented, session.current_hash):
            return Standing.CURRENT
        if session.previous_hash is not None and hmac.compare_digest(presented, session.previous_hash):
            return Standing.PREVIOUS
        return Standing.OLDER if self._refresh.is_ours(token) else Standing.FOREIGN

    def _may_repeat(self, session: Session, standing: Standing, request_id: UUID, now: datetime) -> bool:
        if standing is Standing.PREVIOUS:
            return request_id == session.rotation_request_id or now - session.rotate_time <= self._limits.race
        return standing is Standing.CURRENT

    async def _proceed(
        self, tx: Transaction, claims: PersonClaims, token: RefreshToken, request_id: UUID, now: datetime
    ) -> Tokens | DomainError:
        rotated = await self._rotate(tx, token, request_id, now)
        return _invalid() if rotated is None else self.pair(rotated[0], claims, rotated[1], now)

    async def _rotate(
        self, tx: Transaction, token: RefreshToken, request_id: UUID, now: datetime
    ) -> tuple[Session, RefreshToken] | None:
        """Returns the rotated session and its new token, or None when nothing was to be rotated."""
        origin = Origin(random_salt(), self._refresh.active_kid, request_id)
        following = self._refresh.next(token, origin.salt, origin.kid)
        if following is None:
            return None
        session = await repository.rotate(tx, token, following, origin, self._limits, now)
        return None if session is None else (session, following)

    async def _compromised(
        self, tx: Transaction, session: Session, claims: PersonClaims, call: Call, now: datetime
    ) -> Compromised:
        ended = await self._ends.end(tx, session.user_id, RevokeReason.COMPROMISED, only=session.session_id)
        event = event_of(
            call,
            "SESSION_COMPROMISED",
            now,
            target=("session", str(session.session_id)),
            result=AuditResult.REFUSED,
            details={"user_id": str(session.user_id)},
        )
        await audit.append(tx, event)
        if claims.phone is not None:
            await self._sms.put_warning(tx, session.session_id, claims.phone, claims.locale, now)
        return Compromised(ended)


def _invalid() -> DomainError:
    return Unauthenticated("REFRESH_TOKEN_INVALID")


def _shut_out(claims: PersonClaims) -> DomainError | None:
    if claims.status is AccountStatus.BANNED:
        return PermissionDenied("USER_BANNED")
    may_go_on = claims.status in (AccountStatus.ACTIVE, AccountStatus.DELETED)
    return None if may_go_on else Unauthenticated("SESSION_REVOKED")
