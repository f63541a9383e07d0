"""Who the client calls as: nobody, a person with a session, or a service account."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

import jwt
from svoykrug import errors
from svoykrug.auth.v1.auth_service_pb2 import (
    IssueServiceTokenRequest,
    IssueServiceTokenResponse,
    RefreshTokensRequest,
    RefreshTokensResponse,
)
from svoykrug.auth.v1.session_pb2 import Tokens

from svoykrug_client.service_key import ServiceKey
from svoykrug_client.tokens import StoredSession, TokenStore

# An access token is renewed this long before it dies, so that no call carries one that dies on the way.
_EARLY_SECONDS = 60.0
_ASSERTION_LIFE = timedelta(minutes=2)


class Credentials(Protocol):
    """Gives each call its access token."""

    async def access_token(self, refused: str | None = None) -> str | None:
        """Returns a token that is good now, or None to call without one.

        Args:
            refused: A token the server has just refused; it is not returned again.
        """
        ...


@dataclass(slots=True)
class _AccessToken:
    """A token and when to renew it, in seconds of the monotonic clock: a wrong wall clock here changes nothing."""

    value: str
    renew_at_seconds: float

    def is_good(self, refused: str | None) -> bool:
        return bool(self.value) and self.value != refused and time.monotonic() < self.renew_at_seconds


class SessionCredentials:
    """Calls as a signed-in person; renews the access token with the rotating refresh token.

    However many calls wait for a fresh token, one refresh is under way at a time.

    Args:
        store: Where the session is kept.
        refresh: Calls RefreshTokens.
    """

    def __init__(
        self, store: TokenStore, refresh: Callable[[RefreshTokensRequest], Awaitable[RefreshTokensResponse]]
    ) -> None:
        self._store = store
        self._refresh = refresh
        self._lock = asyncio.Lock()
        self._access = _AccessToken("", 0.0)

    def signed_in(self, user_id: str, tokens: Tokens) -> None:
        """Takes over the tokens of a new session."""
        self._store.save(StoredSession(user_id, tokens.refresh_token))
        self._access = _AccessToken(tokens.access_token, _renew_at(tokens.access_token))

    def signed_out(self) -> None:
        """Forgets the session."""
        self._store.save(None)
        self._access = _AccessToken("", 0.0)

    async def access_token(self, refused: str | None = None) -> str | None:
        """Returns a token that is good now, or None when nobody is signed in.

        Raises:
            errors.Unauthenticated: The session has ended; the store is empty from now on.
        """
        if self._access.is_good(refused):
            return self._access.value
        async with self._lock:
            if self._access.is_good(refused):
                return self._access.value
            session = self._store.load()
            return await self._renewed(session) if session else None

    async def _renewed(self, session: StoredSession) -> str:
        if not session.request_id:
            session = replace(session, request_id=str(uuid.uuid4()))
            self._store.save(session)
        request = RefreshTokensRequest(refresh_token=session.refresh_token, request_id=session.request_id)
        try:
            tokens = (await self._refresh(request)).tokens
        except errors.Unauthenticated:
            self.signed_out()
            raise
        self.signed_in(session.user_id, tokens)
        return self._access.value


class ServiceCredentials:
    """Calls as a service account: signs an assertion with its key and exchanges it for an access token (RFC 7523).

    Args:
        key: The service account's key.
        issue: Calls IssueServiceToken.
    """

    def __init__(
        self, key: ServiceKey, issue: Callable[[IssueServiceTokenRequest], Awaitable[IssueServiceTokenResponse]]
    ) -> None:
        self._key = key
        self._issue = issue
        self._lock = asyncio.Lock()
        self._access = _AccessToken("", 0.0)

    async def access_token(self, refused: str | None = None) -> str | None:
        """Returns a token that is good now.

        Raises:
            errors.Unauthenticated: The server does not take the key.
        """
        if self._access.is_good(refused):
            return self._access.value
        async with self._lock:
            if not self._access.is_good(refused):
                answer = await self._issue(IssueServiceTokenRequest(assertion=self._assertion()))
                self._access = _AccessToken(answer.access_token, _renew_at(answer.access_token))
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
        return jwt.encode(claims, self._key.private_key_pem, algorithm="ES256", headers={"kid": self._key.key_id})


def _renew_at(access_token: str) -> float:
    """Returns when to renew a token, in seconds of the monotonic clock.

    Its life is read from its own claims, so that only the server's clock counts; the server verifies it, not we.
    """
    claims = jwt.decode(access_token, options={"verify_signature": False})
    lifetime_seconds = float(claims["exp"] - claims["iat"])
    return time.monotonic() + max(lifetime_seconds - _EARLY_SECONDS, lifetime_seconds / 2)
