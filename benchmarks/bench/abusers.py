"""Who does not care about others, in a process of their own: slow callers, and callers at ten times their rights.

Each keeps a number of calls in progress and begins another when one has ended. Who is refused and is abusive calls
again at once, whatever RetryInfo says. The process is the last that the machine runs, as if it were on another one.
"""

import asyncio
import multiprocessing
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from uuid import uuid4

import grpc
import uvloop
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from svoykrug.analytics.v1 import analytics_service_pb2 as analytics_pb
from svoykrug.analytics.v1.analytics_service_pb2_grpc import AnalyticsServiceStub
from svoykrug.auth.v1 import auth_service_pb2 as auth_pb
from svoykrug.auth.v1.auth_service_pb2_grpc import AuthServiceStub
from svoykrug.purchases.v1.purchases_service_pb2_grpc import PurchasesServiceStub
from svoykrug.users.v1 import users_service_pb2 as users_pb
from svoykrug.users.v1.users_service_pb2_grpc import UsersServiceStub

from benchmarks.bench.mix_callers import SHOP
from tests.e2e.circle import Metadata

RIGHTS = 100
"""How many calls of one caller the server takes at a time."""
AT_ONCE, CONNECTIONS = 10 * RIGHTS, 10
SLOW_READERS = 20
READ_SECONDS, PATIENT_SECONDS = 10.0, 1.0
"""How long a slow reader waits between two messages, and a slow caller who was refused before she calls again."""
SLOW, PERSON, SERVICE, ADDRESS = "slow callers", "abusive person", "abusive service", "abusive address"
DETAILS = "grpc-status-details-bin"
Tally = Counter[str]
"""How many calls were answered, shed with RetryInfo, refused otherwise by status, or kept open until the end."""
ANSWERED, SHED = "answered", "shed"


@dataclass(frozen=True, slots=True)
class Abusers:
    """Who they are, as one process hands it to another.

    Attributes:
        target: Where the product takes calls.
        person: What an ordinary member calls with.
        owner: What the owner calls with who reads slowly.
        service: What a service calls with.
        user_id: Whom the service asks for.
    """

    target: str
    person: Metadata
    owner: Metadata
    service: Metadata
    user_id: str


class Abuse:
    """The calls of one kind of abuser.

    Args:
        who: Who they are.
        channel: A connection to the product.
        tally: Where every ended call is counted.
    """

    def __init__(self, who: Abusers, channel: grpc.aio.Channel, tally: Tally) -> None:
        self._who, self._tally = who, tally
        self._users, self._auth = UsersServiceStub(channel), AuthServiceStub(channel)
        self._analytics, self._purchases = AnalyticsServiceStub(channel), PurchasesServiceStub(channel)

    async def keep(self, kind: str, number: int) -> None:
        """Keeps one call in progress until cancelled."""
        calls: Mapping[str, Callable[[], Awaitable[object]]] = {
            SLOW: self._slow_reader if number < SLOW_READERS else self._silent,
            PERSON: lambda: self._users.GetMe(users_pb.GetMeRequest(), metadata=self._who.person),
            SERVICE: self._insight,
            ADDRESS: self._public,
        }
        while True:
            try:
                await calls[kind]()
                self._tally[ANSWERED] += 1
            except grpc.aio.AioRpcError as error:
                self._tally[_ending(error)] += 1
                await asyncio.sleep(PATIENT_SECONDS if kind == SLOW else 0)

    async def _silent(self) -> None:
        await self._purchases.ImportPurchases(metadata=self._who.person)

    async def _slow_reader(self) -> None:
        asked = analytics_pb.StreamSegmentMembersRequest(business_id=str(SHOP))
        async for _ in self._analytics.StreamSegmentMembers(asked, metadata=self._who.owner):
            await asyncio.sleep(READ_SECONDS)

    async def _insight(self) -> None:
        asked = analytics_pb.GetMemberInsightRequest(business_id=str(SHOP), user_id=self._who.user_id)
        await self._analytics.GetMemberInsight(asked, metadata=self._who.service)

    async def _public(self) -> None:
        asked = auth_pb.RefreshTokensRequest(refresh_token="x" * 86, request_id=str(uuid4()))
        await self._auth.RefreshTokens(asked, metadata=(("x-forwarded-for", "203.0.113.7"),))


def _ending(error: grpc.aio.AioRpcError) -> str:
    details = dict(error.trailing_metadata() or ()).get(DETAILS, b"")
    found = Status.FromString(details if isinstance(details, bytes) else b"").details
    if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and any(
        one.TypeName() == RetryInfo.DESCRIPTOR.full_name for one in found
    ):
        return SHED
    return error.code().name


@contextmanager
def abusing(who: Abusers) -> "Iterator[Callable[[str], Tally]]":
    """Runs their process for the length of the block.

    Gives what begins a kind of abuse, or ends it where the kind is empty; it returns what became of the calls so far.
    """
    spawning = multiprocessing.get_context("spawn")
    ours, theirs = spawning.Pipe()
    process = spawning.Process(target=_serve, args=(theirs, who), daemon=True)
    process.start()

    def switch(kind: str) -> Tally:
        ours.send(kind)
        tally: Tally = ours.recv()
        return tally

    try:
        yield switch
    finally:
        ours.send(None)
        process.join()


def _serve(pipe: Connection, who: Abusers) -> None:
    os.nice(19)

    async def run() -> None:
        tally, tasks = Tally(), list[asyncio.Task[None]]()
        options = (("grpc.use_local_subchannel_pool", 1),)
        channels = [grpc.aio.insecure_channel(who.target, options) for _ in range(CONNECTIONS)]
        abuses = [Abuse(who, channel, tally) for channel in channels]
        while (kind := await asyncio.to_thread(pipe.recv)) is not None:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            pipe.send(tally.copy())
            tally.clear()
            turns = range(AT_ONCE if kind else 0)
            tasks = [asyncio.create_task(abuses[turn % CONNECTIONS].keep(kind, turn)) for turn in turns]
        for channel in channels:
            await channel.close()

    uvloop.run(run())
