"""Who the client calls as: nobody, a person with a session, or a service account."""

import asyncio
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import jwt
from svoykrug import errors
from svoykrug.auth.v1.auth_service_pb2 import (
    IssueServiceTokenRequest,
    IssueServiceTokenResponse,
    RefreshTokensRequest,
    RefreshTokensResponse,
)
from svoykrug.auth.v1.session_pb2 import Tokens

from svoykrug_client._repeating import repeated
from svoykrug_client.service_key import ServiceKey
from svoykrug_client.tokens import StoredSession, TokenStore

# The answers that mean: this session is over for good. No other failure may sign her out, a proxy's 401 least of all.
SESSION_OVER = (errors.RefreshTokenInvalid, errors.SessionRevoked, errors.SessionCompromised)
# An access token is renewed this long before it dies, so that no call carries one that dies on the way.
_EARLY_SECONDS = 60.0
_ASSERTION_LIFE = timedelta(minutes=2)


@dataclass(slots=True, eq=False)
class _AccessToken:
    """A token and when to renew it, in seconds of the monotonic clock: a wrong wall clock here changes nothing."""

    value: str = field(default="", repr=False)
    renew_at_seconds: float = 0.0

    @classmethod
    def read(cls, value: str) -> "_AccessToken":
        """Reads a token's life from its own claims: only the server's clock counts. The server verifies it, not we."""
        claims = jwt.decode(value, options={"verify_signature": False})
        life_seconds = float(claims["exp"] - claims["iat"])
        return cls(value, time.monotonic() + max(life_seconds - _EARLY_SECONDS, life_seconds / 2))

    @property
    def is_good(self) -> bool:
        return time.monotonic() < self.renew_at_seconds


class Credentials(ABC):
    """Gives each call its access token and renews it before it dies.

    However many calls wait for a fresh token, one renewal is under way. It is a task of its own: a call that is
    cancelled or whose deadline passes stops waiting, and the renewal goes on for the others.
    """

    def __init__(self) -> None:
        self._access = _AccessToken()
        self._renewal: asyncio.Task[str | None] | None = None

    async def access_token(self) -> str | None:
        """Returns a token that is good now, or None to call without one.

        Raises:
            errors.SvoyKrugError: There is no good token and the server gives no new one.
        """
        if self._access.is_good:
            return self._access.value
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._renew())
            self._renewal.add_done_callback(_seen)
        return await asyncio.shield(self._renewal)

    def discard(self, token: str) -> None:
        """Takes note that the server refused a token: it is not used again."""
        if token == self._access.value:
            self._access.renew_at_seconds = 0.0

    @abstractmethod
    async def _renew(self) -> str | None:
        """Gets a new token from the server."""


def _seen(renewal: "asyncio.Task[str | None]") -> None:
    """Takes note of a failure that nobody waits for any more, as when every call's deadline has passed."""
    if not renewal.cancelled():
        renewal.exception()


class SessionCredentials(Credentials):
    """Calls as a signed-in person; renews the access token with the rotating refresh token.

    Several clients, also in several processes, may share a store. They need no lock: those that race present the same
    refresh token within seconds, which the server answers with the same next one, and nobody overwrites a later token.

    Args:
        store: Where the session is kept.
        refresh: Calls RefreshTokens.
    """

    def __init__(
        self, store: TokenStore, refresh: Callable[[RefreshTokensRequest], Awaitable[RefreshTokensResponse]]
    ) -> None:
        super().__init__()
        self._store = store
        self._refresh = refresh

    def signed_in(self, user_id: str, tokens: Tokens) -> None:
        """Takes over the tokens of a new session."""
        self._store.save(StoredSession(user_id, tokens.refresh_token))
        self._access = _AccessToken.read(tokens.access_token)

    def signed_out(self) -> None:
        """Forgets the session."""
        self._store.save(None)
        self._access = _AccessToken()

    async def _renew(self) -> str | None:
        before, session = self._access, self._store.load()
        if session is None:
            return None
        if not session.request_id:
            session = replace(session, request_id=str(uuid.uuid4()))
            self._store.save(session)
        request = RefreshTokensRequest(refresh_token=session.refresh_token, request_id=session.request_id)
        try:
            tokens = (await self._refresh(request)).tokens
        except SESSION_OVER:
            self._move_on(session, None)
            raise
        self._move_on(session, StoredSession(session.user_id, tokens.refresh_token))
        if self._access is before:
            self._access = _AccessToken.read(tokens.access_token)
        return self._access.value or None

    def _move_on(self, old: StoredSession, new: StoredSession | None) -> None:
        """Stores what follows a session, unless the store has moved on already: a sign-in, or another process."""
        stored = self._store.load()
        if stored and stored.refresh_token == old.refresh_token:
            self._store.save(new)


class ServiceCredentials(Credentials):
    """Calls as a service account: signs an assertion with its key and exchanges it for an access token (RFC 7523).

    Args:
        key: The service account's key.
        issue: Calls IssueServiceToken.
    """

    def __init__(
        self, key: ServiceKey, issue: Callable[[IssueServiceTokenRequest], Awaitable[IssueServiceTokenResponse]]
    ) -> None:
        super().__init__()
        self._key = key
        self._algorithm = key.algorithm
        self._issue = issue

    async def _renew(self) -> str | None:
        # An assertion is good once, so the transport may not send it again; a new one may be sent as often as needed.
        answer = await repeated(lambda: self._issue(IssueServiceTokenRequest(assertion=self._assertion())))
        self._access = _AccessToken.read(answer.access_token)
        return self._access.value

    def _assertion(self) -> str:
        now = datetime.now(UTC)
        claims = {
            "iss": self._key.service_account_id,
            "sub": self._key.service_account_id,
            "aud": self._key.audience,
            "jti": str(uuid.uuid4()),
            "iat": now,
            "exp": now + _ASSERTION_LIFE,
        }
        return jwt.encode(
            claims, self._key.private_key_pem, algorithm=self._algorithm, headers={"kid": self._key.key_id}
        )
