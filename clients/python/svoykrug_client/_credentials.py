"""Who the client calls as: nobody, a person with a session, or a service account."""

import asyncio
import base64
import json
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

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
from svoykrug_client.tokens import SharedTokenStore, StoredSession, TokenStore

_Result = TypeVar("_Result")

# The answers that mean: this session is over for good. No other failure may sign her out, a proxy's 401 least of all.
SESSION_OVER = (errors.RefreshTokenInvalid, errors.SessionRevoked, errors.SessionCompromised)
# An access token is renewed this long before it dies, so that no call carries one that dies on the way.
_EARLY_SECONDS = 60.0
# Longer than a refresh takes, whose deadline is 10 s: who holds the store's lock so long has been stopped in mid-work.
_LOCK_SECONDS = 15.0


@dataclass(slots=True, eq=False)
class _AccessToken:
    """A token and when to renew it, in seconds of the monotonic clock: a wrong wall clock here changes nothing."""

    value: str = field(default="", repr=False)
    renew_at_seconds: float = 0.0

    @classmethod
    def read(cls, value: str) -> "_AccessToken":
        """Reads a token's life from its own claims: only the server's clock counts. The server verifies it, not we."""
        payload = value.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
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
        while not self._access.is_good:
            if self._renewal is None or self._renewal.done():
                self._renewal = asyncio.create_task(self._renew())
                self._renewal.add_done_callback(_seen)
            with suppress(_Superseded):
                return await asyncio.shield(self._renewal)
        return self._access.value

    def discard(self, token: str) -> None:
        """Takes note that the server refused a token: it is not used again."""
        if token == self._access.value:
            self._access.renew_at_seconds = 0.0

    @abstractmethod
    async def _renew(self) -> str | None:
        """Gets a new token from the server."""


class _Superseded(Exception):
    """A sign-in or a sign-out took the place of the session that was being renewed."""


def _seen(work: "asyncio.Future[_Result]") -> None:
    """Takes note of a failure that nobody waits for any more, as when every call's deadline has passed."""
    if not work.cancelled():
        work.exception()


class SessionCredentials(Credentials):
    """Calls as a signed-in person; renews the access token with the rotating refresh token.

    The server takes a refresh token that is not the present one for stolen, unless its request id is the one of the
    refresh that replaced it. So from reading the session to storing the answer a refresh is alone with the store, in
    this client by a lock of its own, among the clients and processes of a `SharedTokenStore` by the store's.

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
        self._mutex = asyncio.Lock()
        self._call: asyncio.Future[RefreshTokensResponse] | None = None
        self._replacements = 0

    async def signed_in(self, user_id: str, tokens: Tokens) -> None:
        """Takes over the tokens of a new session."""
        await self._replace(StoredSession(user_id, tokens.refresh_token), _AccessToken.read(tokens.access_token))

    async def signed_out(self) -> None:
        """Forgets the session."""
        await self._replace(None, _AccessToken())

    async def _replace(self, session: StoredSession | None, access: _AccessToken) -> None:
        """Puts another session in the place of the one there is; the answer to its refresh is of no use any more."""
        self._replacements += 1
        if self._call is not None:
            self._call.cancel()
        async with self._alone():
            self._access = _AccessToken()
            await self._save(session)
            self._access = access

    async def _renew(self) -> str | None:
        if await self._load() is None:
            return None
        async with self._alone():
            if self._access.is_good:  # A sign-in was before us.
                return self._access.value
            session = await self._load()
            return await self._refreshed(await self._begun(session)) if session else None

    async def _begun(self, session: StoredSession) -> StoredSession:
        """Returns the session with the request id of its refresh, which is stored before the refresh is sent."""
        if not session.request_id:
            session = replace(session, request_id=str(uuid.uuid4()))
            await self._save(session)
        return session

    async def _refreshed(self, session: StoredSession) -> str:
        try:
            tokens = (await self._answer(session)).tokens
        except SESSION_OVER:
            await self._move_on(session, None)
            raise
        await self._move_on(session, StoredSession(session.user_id, tokens.refresh_token))
        self._access = _AccessToken.read(tokens.access_token)
        return self._access.value

    async def _answer(self, session: StoredSession) -> RefreshTokensResponse:
        replacements = self._replacements
        request = RefreshTokensRequest(refresh_token=session.refresh_token, request_id=session.request_id)
        self._call = asyncio.ensure_future(self._refresh(request))
        try:
            return await self._call
        except asyncio.CancelledError:
            if self._replacements == replacements:
                raise
            raise _Superseded from None
        finally:
            self._call = None

    async def _move_on(self, old: StoredSession, new: StoredSession | None) -> None:
        """Stores what follows a session, unless the store has moved on: somebody did not wait for the lock."""
        stored = await self._load()
        if stored and stored.refresh_token == old.refresh_token:
            await self._save(new)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Keeps every other change of the store out; other processes for as long as they run and the store can."""
        async with self._mutex, AsyncExitStack() as held:
            if isinstance(self._store, SharedTokenStore):
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOCK_SECONDS):
                        await held.enter_async_context(self._store.lock())
            yield

    async def _load(self) -> StoredSession | None:
        return await self._stored(self._store.load)

    async def _save(self, session: StoredSession | None) -> None:
        await self._stored(partial(self._store.save, session))

    async def _stored(self, work: Callable[[], _Result]) -> _Result:
        """Has the store work: a shared one in a thread, for it waits for a disk."""
        if not isinstance(self._store, SharedTokenStore):
            return work()
        working = asyncio.ensure_future(asyncio.to_thread(work))
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            # A thread cannot be stopped, and the lock must not be let go before it is done.
            await asyncio.wait([working])
            _seen(working)
            raise


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
        from svoykrug_client._assertions import Assertions  # noqa: PLC0415  # slow to import, and for services alone

        self._assertions = Assertions(key)
        self._issue = issue

    async def _renew(self) -> str | None:
        # An assertion is good once, so the transport may not send it again; a new one may be sent as often as needed.
        answer = await repeated(lambda: self._issue(IssueServiceTokenRequest(assertion=self._assertions.make())))
        self._access = _AccessToken.read(answer.access_token)
        return self._access.value
