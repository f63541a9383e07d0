"""Who calls in the mix on the FastAPI baseline: as on the product, by the shares of the calls that it has."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace

import aiohttp

from benchmarks.bench import steady
from benchmarks.bench.mix_callers import SHARES
from benchmarks.bench.mix_readers import Wrong
from benchmarks.bench.open_loop import Ask, calling

READING, METHODS = "GetMe", ("RefreshTokens", "UpdateMe")
"""The call that is alike each time, and those that need a new message."""
ITS_SHARES = {method: SHARES[method] for method in (READING, *METHODS)}
PROFILE = "/v1/users/me"
READERS, CONNECTIONS = 100, 100
"""A connection has one call on its way, so a reader's next one waits where she is not answered within her pace."""
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
        self._made = dict(zip(METHODS, (self.refresh, self._update_me), strict=True))
        self._weights = [SHARES[method] for method in METHODS]
        self._random = random.Random(20261123)  # noqa: S311  the same calls every time

    def call(self) -> tuple[str, Awaitable[object]]:
        """Returns the method called next, and the call."""
        method = self._random.choices(METHODS, self._weights)[0]
        return method, self._made[method](self._random.randrange(len(self.people)))

    async def refresh(self, number: int) -> None:
        """Changes a member's tokens for new ones."""
        async with self._refreshing[number]:
            body = {"refresh_token": self.people[number][1]}
            async with self._session.post("/v1/auth/refresh", json=body) as answer:
                tokens = await answer.json()
            self.people[number] = (tokens["access_token"], tokens["refresh_token"])

    async def _update_me(self, number: int) -> None:
        body = {"display_name": f"Имя {self._random.randrange(10**6)}"}
        async with self._session.patch(PROFILE, json=body, headers=self._bearer(number)) as answer:
            await answer.json()

    def _bearer(self, number: int) -> dict[str, str]:
        return {"authorization": f"Bearer {self.people[number][0]}"}


@contextmanager
def reading_over_http(cast: HttpCast) -> Iterator[Ask]:
    """Gives what makes the calls of the mix: those of the first members by h2load, the rest by a Python client."""
    with calling(replace(cast, people=cast.people[READERS:]), over_http) as ask:
        yield steady.beside(ask, _readers(cast), ITS_SHARES)


async def check(cast: HttpCast, user_ids: Sequence[str]) -> None:
    """Makes each call of h2load once, with a real client.

    Raises:
        Wrong: An answer is not right, or somebody without a token is answered.
    """
    async with aiohttp.ClientSession() as session:
        for reader, user_id in zip(_readers(cast), user_ids, strict=False):
            async with session.get(reader.url, headers=reader.headers) as answer:
                if answer.status != 200 or (await answer.json())["id"] != user_id:
                    raise Wrong(f"{READING}: not her")
            async with session.get(reader.url) as answer:
                if answer.status not in (401, 403):
                    raise Wrong(f"{READING}: answers without a token")


def _readers(cast: HttpCast) -> list[steady.Caller]:
    url = f"http://{cast.target}{PROFILE}"
    tokens = (token for token, _ in cast.people[:READERS])
    return [steady.Caller(READING, url, {"authorization": f"Bearer {token}"}) for token in tokens]


@asynccontextmanager
async def over_http(cast: HttpCast) -> AsyncIterator[HttpCallers]:
    """Opens connections to the baseline for those who call."""
    connector = aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=KEEP_ALIVE_SECONDS)
    base = f"http://{cast.target}"
    async with aiohttp.ClientSession(base, connector=connector, raise_for_status=True) as session:
        yield HttpCallers(session, cast.people)
