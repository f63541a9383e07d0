"""Who reads in the mix: members and the owners of a business. Their calls are alike each time, so h2load makes them."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.request import urlopen

import grpc
from google.protobuf.message import Message
from prometheus_client.parser import text_string_to_metric_families
from svoykrug.analytics.v1 import analytics_service_pb2 as analytics_pb
from svoykrug.purchases.v1 import purchases_service_pb2 as purchases_pb
from svoykrug.users.v1 import users_service_pb2 as users_pb

from benchmarks.bench import steady
from benchmarks.bench.mix_callers import SHOP, Cast, over_grpc
from benchmarks.bench.open_loop import Ask, calling
from benchmarks.bench.processes import Server

DURATIONS = "rpc_server_duration_seconds_count"
"""How often calls of a method ended with a status, among the product's metrics."""


class Wrong(Exception):
    """The product did not answer as it must; nothing is measured then."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A method whose calls are alike each time.

    Attributes:
        readers: How many members call it, or are asked about.
        path: Where it is called.
        by_owner: Whether an owner of the business asks about a member; else members ask for themselves.
        request: What is sent for the member of this id.
        is_right: Whether an answer, as bytes, is right for her.
    """

    readers: int
    path: str
    by_owner: bool
    request: Callable[[str], Message]
    is_right: Callable[[bytes, str], bool]


READINGS = {
    "GetMe": Reading(
        10,
        "/svoykrug.users.v1.UsersService/GetMe",
        False,
        lambda _: users_pb.GetMeRequest(),
        lambda answer, user_id: users_pb.GetMeResponse.FromString(answer).user.id == user_id,
    ),
    "GetMyTier": Reading(
        2,
        "/svoykrug.users.v1.UsersService/GetMyTier",
        False,
        lambda _: users_pb.GetMyTierRequest(),
        lambda answer, _: users_pb.GetMyTierResponse.FromString(answer).HasField("tier_status"),
    ),
    "ListMyPurchases": Reading(
        2,
        "/svoykrug.purchases.v1.PurchasesService/ListMyPurchases",
        False,
        lambda _: purchases_pb.ListMyPurchasesRequest(page_size=20),
        lambda answer, _: len(purchases_pb.ListMyPurchasesResponse.FromString(answer).purchases) == 20,
    ),
    "GetMemberInsight": Reading(
        4,
        "/svoykrug.analytics.v1.AnalyticsService/GetMemberInsight",
        True,
        lambda user_id: analytics_pb.GetMemberInsightRequest(business_id=str(SHOP), user_id=user_id),
        lambda answer, _: analytics_pb.GetMemberInsightResponse.FromString(answer).HasField("segment_member"),
    ),
}
READERS = sum(reading.readers for reading in READINGS.values())


@contextmanager
def reading_beside(cast: Cast, server: Server) -> Iterator[Ask]:
    """Gives what makes the calls of the mix: those of the first members by h2load, the rest by a Python client."""
    shares = {method: share for method, share in cast.shares.items() if method not in READINGS}
    others = replace(cast, people=cast.people[READERS:], shares=shares)
    with calling(others, over_grpc) as ask:
        yield steady.beside(ask, _callers(cast), cast.shares, lambda: _ended(server))


async def check(cast: Cast) -> None:
    """Makes each call of h2load once, with a real client.

    Raises:
        Wrong: An answer is not right, or somebody without a token is answered.
    """
    async with grpc.aio.insecure_channel(cast.target) as channel:
        for caller, (user_id, _, _) in zip(_callers(cast), cast.people, strict=False):
            reading = READINGS[caller.method]
            call: Any = channel.unary_unary(reading.path)
            bearer = (("authorization", caller.headers["authorization"]),)
            if not reading.is_right(await call(caller.message, metadata=bearer), user_id):
                raise Wrong(f"{caller.method}: not the right answer")
            if await _status(call(caller.message)) is not grpc.StatusCode.UNAUTHENTICATED:
                raise Wrong(f"{caller.method}: answers without a token")


async def _status(call: Any) -> grpc.StatusCode:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def _callers(cast: Cast) -> list[steady.Caller]:
    """Returns a caller of each of the first members, in their order."""
    people = iter(cast.people)
    callers = []
    for method, reading in READINGS.items():
        for number in range(reading.readers):
            user_id, token, _ = next(people)
            owner_token = cast.owner_tokens[number % len(cast.owner_tokens)]
            bearer = f"Bearer {owner_token if reading.by_owner else token}"
            headers = {"content-type": "application/grpc", "te": "trailers", "authorization": bearer}
            message = reading.request(user_id).SerializeToString()
            callers.append(steady.Caller(method, f"http://{cast.target}{reading.path}", headers, message))
    return callers


def _ended(server: Server) -> Counter[tuple[str, str]]:
    """Returns how many calls of each of these methods have ended with which status, by the server's metrics."""
    with urlopen(f"http://127.0.0.1:{server.facts['http_port']}/metrics") as page:
        families = text_string_to_metric_families(page.read().decode())
    counted = Counter[tuple[str, str]]()
    for sample in (sample for family in families for sample in family.samples if sample.name == DURATIONS):
        if (method := sample.labels["rpc_method"]) in READINGS:
            counted[method, sample.labels["rpc_grpc_status_code"]] += int(sample.value)
    return counted
