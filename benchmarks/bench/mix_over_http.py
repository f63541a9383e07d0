"""Who calls in the mix on the FastAPI baseline: the same members, by the shares of the calls that it has."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from benchmarks.bench.mix_callers import SHARES

METHODS = ("GetMe", "RefreshTokens", "UpdateMe")
CONNECTIONS = 100
KEEP_ALIVE_SECONDS = 4.0
"""Less than the 5 seconds after which uvicorn closes a connection that is not used."""


@dataclass(slots=True)
class HttpCast:
    """Who calls, as one process hands it to another.

    Attributes:
        target: Where the baseline takes calls.
        people: Access token and refresh token of each member.
    """

    target: str
    people: list[tuple[str, str]]


class HttpCallers:
    """Members who call at random, each method by its share.

    Args:
        session: Connections to the baseline.
        people: Access token and refresh token of each.

    Attributes:
        people: The same, as they are now.
    """

    def __init__(self, session: aiohttp.ClientSession, people: list[tuple[str, str]]) -> None:
        self._session = session
        self.people = people
        self._refreshing = [asyncio.Lock() for _ in people]
        self._made = dict(zip(METHODS, (self._get_me, self.refresh, self._update_me), strict=True))
        self._weights = [SHARES[method] for method in METHODS]
        self._random = random.Random(20261123)  # noqa: S311  the same calls every time

    def call(self) -> tuple[str, Awaitable[object]]:
        """Returns the method called next, and the call."""
        method = self._random.choices(METHODS, self._weights)[0]
        return method, self._made[method](self._random.randrange(len(self.people)))

    async def _get_me(self, number: int) -> None:
        async with self._session.get("/v1/users/me", headers=self._bearer(number)) as answer:
            await answer.json()

    async def refresh(self, number: int) -> None:
        """Changes a member's tokens for new ones."""
        async with self._refreshing[number]:
            body = {"refresh_token": self.people[number][1]}
            async with self._session.post("/v1/auth/refresh", json=body) as answer:
                tokens = await answer.json()
            self.people[number] = (tokens["access_token"], tokens["refresh_token"])

    async def _update_me(self, number: int) -> None:
        body = {"display_name": f"Имя {self._random.randrange(10**6)}"}
        async with self._session.patch("/v1/users/me", json=body, headers=self._bearer(number)) as answer:
            await answer.json()

    def _bearer(self, number: int) -> dict[str, str]:
        return {"authorization": f"Bearer {self.people[number][0]}"}


@asynccontextmanager
async def over_http(cast: HttpCast) -> AsyncIterator[HttpCallers]:
    """Opens connections to the baseline for those who call."""
    connector = aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=KEEP_ALIVE_SECONDS)
    base = f"http://{cast.target}"
    async with aiohttp.ClientSession(base, connector=connector, raise_for_status=True) as session:
        yield HttpCallers(session, cast.people)
