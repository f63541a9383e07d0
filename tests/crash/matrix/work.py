"""What a server is killed at: it is asked for something, asked again after the kill, and what came of it is counted."""

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from svoykrug_client import Client
from tests.crash.matrix.place import Place
from tests.crash.matrix.seen import Seen
from tests.crash.stores_seen import ledger_totals


@dataclass(frozen=True, slots=True)
class Harm:
    """What went wrong by a kill.

    Attributes:
        lost: How many rows or things are not there that must be.
        doubled: How many are there more often than once, or should not be there.
    """

    lost: int = 0
    doubled: int = 0

    def __add__(self, other: "Harm") -> "Harm":
        return Harm(self.lost + other.lost, self.doubled + other.doubled)

    @staticmethod
    def of(rows: int, distinct: int, expected: int) -> "Harm":
        """Returns the harm of so many rows, so many of them different, where a number is expected."""
        return Harm(max(expected - distinct, 0), max(rows - distinct, 0) + max(distinct - expected, 0))


class Work(ABC):
    """Something that a server does.

    Args:
        place: Where.
        dice: Draws counts and things, the same ones for a seed.
    """

    settings: Mapping[str, str] = {}
    """Settings of the servers that do it."""
    acknowledged_rows = 0
    """Purchases that the server has acknowledged."""
    watching = ""
    """A question to ClickHouse whose answer tells how far it is."""

    def __init__(self, place: Place, dice: random.Random) -> None:
        self.place = place
        self.dice = dice

    async def prepare(self) -> None:  # noqa: B027  most kinds need nothing
        """Does what must be before the server starts."""

    @abstractmethod
    async def ask(self, client: Client) -> None:
        """Asks for the work; the server may die at any moment of it."""

    async def goes_on(self) -> bool:
        """Tells whether a server is at it, as PostgreSQL sees it."""
        return True

    async def is_unfinished(self) -> bool:
        """Tells whether it has not ended, whoever is at it."""
        return await self.goes_on()

    @abstractmethod
    async def finish(self, client: Client) -> None:
        """Asks again as a caller does who has no answer, and waits for the end."""

    async def harm(self, before: Seen, after: Seen) -> Harm:  # noqa: ARG002  for kinds that make more than purchases
        """Returns what is lost or doubled of the work, beside the purchases."""
        return Harm()


async def purchases_harm(place: Place, after: Seen) -> Harm:
    """Returns what is lost or doubled of all purchases ever sent, and asserts that both stores hold them as sent."""
    own, ledger = await place.own_totals(), await ledger_totals(place.postgres)
    harm = Harm.of(ledger.rows, ledger.distinct, own.rows) + Harm.of(after.copy.rows, after.copy.distinct, own.rows)
    if harm == Harm():
        assert ledger == own
        assert after.copy == own
    return harm


async def asked_until(asking: "asyncio.Task[None]", dying: "asyncio.Task[int]", seconds: float) -> None:
    """Waits until a server dies while it is asked; what the caller is told then is of no interest.

    An answer before the death is taken; an error before the death is raised.
    """
    async with asyncio.timeout(seconds):
        await asyncio.wait({asking, dying}, return_when=asyncio.FIRST_COMPLETED)
        if not dying.done() and asking.done() and asking.exception() is not None:
            await asyncio.wait({dying}, timeout=1.0)
            if not dying.done():
                asking.result()
        await dying
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
