"""Calls at a steady pace from a process of their own.

Calls begin when they are due and not when the one before has ended, and a call's time counts from when it was due: a
server that falls behind cannot slow the load that shows it. How late the callers' own process began each call is kept
beside: that much of a call's time is not the server's.
"""

import asyncio
import multiprocessing
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from statistics import quantiles
from typing import Protocol, TypeVar

import aiohttp
import grpc
import uvloop

WARM_SECONDS = 3.0
PERCENTS = (50, 95, 99)
Cast = TypeVar("Cast")


@dataclass(slots=True)
class Outcome:
    """What became of the calls of one round.

    Attributes:
        milliseconds: Of each method, of each call, from when it was due.
        failures: How often each method ended with which status.
        late_milliseconds: How much later than it was due each call was begun.
    """

    milliseconds: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    failures: Counter[tuple[str, str]] = field(default_factory=Counter)
    late_milliseconds: list[float] = field(default_factory=list)

    def every(self) -> list[float]:
        """Returns how long each call took, whatever it was."""
        return [took for of_method in self.milliseconds.values() for took in of_method]

    def add(self, other: "Outcome") -> None:
        """Adds what became of other calls of the same round."""
        for method, took in other.milliseconds.items():
            self.milliseconds[method] += took
        self.failures += other.failures
        self.late_milliseconds += other.late_milliseconds


class Callers(Protocol):
    """Who calls."""

    def call(self) -> tuple[str, Awaitable[object]]:
        """Returns the method called next, and the call."""


Ask = Callable[[float, float], Outcome]
"""Makes so many calls a second for so many seconds, and returns what became of them."""
Opening = Callable[[Cast], AbstractAsyncContextManager[Callers]]
"""Opens connections for those who call: a function of a module, because another process runs it."""


def percentiles(milliseconds: list[float]) -> dict[str, float]:
    """Returns the median, the 95th and the 99th percentile, by the unit that a table shows them under."""
    cuts = quantiles(milliseconds, n=100)
    return {f"p{percent} ms": cuts[percent - 1] for percent in PERCENTS}


@contextmanager
def calling(cast: Cast, opening: Opening[Cast]) -> Iterator[Ask]:
    """Runs the callers' process for the length of the block."""
    spawning = multiprocessing.get_context("spawn")
    ours, theirs = spawning.Pipe()
    process = spawning.Process(target=_serve, args=(theirs, cast, opening), daemon=True)
    process.start()
    theirs.close()  # so that a process that ended is seen as the end of its pipe

    def ask(calls_a_second: float, seconds: float) -> Outcome:
        ours.send((calls_a_second, seconds))
        outcome: Outcome = ours.recv()
        return outcome

    try:
        yield ask
    finally:
        if process.is_alive():
            ours.send(None)
        process.join()


def _serve(pipe: Connection, cast: Cast, opening: Opening[Cast]) -> None:
    async def run() -> None:
        async with opening(cast) as callers:
            while (asked := await asyncio.to_thread(pipe.recv)) is not None:
                pipe.send(await _round(callers, *asked))

    uvloop.run(run())


async def _round(callers: Callers, calls_a_second: float, seconds: float) -> Outcome:
    """Makes calls at a steady pace; how long those of the first seconds took is not noted, only their failures.

    A call that ends with anything but an answer or a status ends the round: it would be missing from both.
    """
    outcome = Outcome()
    began = time.perf_counter()
    async with asyncio.TaskGroup() as running:
        for number in range(round(calls_a_second * (WARM_SECONDS + seconds))):
            due = began + number / calls_a_second
            if (ahead := due - time.perf_counter()) > 0:
                await asyncio.sleep(ahead)
            method, call = callers.call()
            counted = outcome if due >= began + WARM_SECONDS else Outcome()
            counted.late_milliseconds.append((time.perf_counter() - due) * 1e3)
            running.create_task(_timed(method, call, due, counted, outcome.failures))
    return outcome


async def _timed(
    method: str, call: Awaitable[object], due: float, outcome: Outcome, failures: Counter[tuple[str, str]]
) -> None:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        failures[method, f"{error.code().name}: {error.details()}"] += 1
    except aiohttp.ClientError as error:
        failures[method, str(error)] += 1
    outcome.milliseconds[method].append((time.perf_counter() - due) * 1e3)
