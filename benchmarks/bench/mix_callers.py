"""Who calls in the mix: members and the owners of a business, each method by its share."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from svoykrug.analytics.v1 import analytics_service_pb2 as analytics_pb
from svoykrug.analytics.v1.analytics_service_pb2_grpc import AnalyticsServiceStub
from svoykrug.auth.v1 import auth_service_pb2 as auth_pb
from svoykrug.auth.v1.auth_service_pb2_grpc import AuthServiceStub
from svoykrug.purchases.v1 import purchases_service_pb2 as purchases_pb
from svoykrug.purchases.v1.purchases_service_pb2_grpc import PurchasesServiceStub
from svoykrug.users.v1 import users_service_pb2 as users_pb
from svoykrug.users.v1.user_pb2 import User
from svoykrug.users.v1.users_service_pb2_grpc import UsersServiceStub

from tests.e2e.circle import Metadata

CALLS_A_SECOND = 1_000
SHOP = UUID(int=1)
SHARES = {
    "GetMe": 60,
    "GetMyTier": 10,
    "ListMyPurchases": 10,
    "RefreshTokens": 8,
    "RecordPurchase": 5,
    "GetMemberInsight": 4,
    "UpdateMe": 3,
}


@dataclass(slots=True)
class Cast:
    """Who calls, as one process hands it to another.

    Attributes:
        target: Where the product takes calls.
        people: User id, access token and refresh token of each member.
        owner_tokens: The access tokens of the owners of the business, who take turns.
        shares: How often each method is called, of a hundred calls.
    """

    target: str
    people: list[tuple[str, str, str]]
    owner_tokens: list[str]
    shares: Mapping[str, int] = field(default_factory=lambda: SHARES)


class Callers:
    """Members and owners who call at random, each method by its share.

    Args:
        channel: The channel to the product.
        cast: Who calls.
    """

    def __init__(self, channel: grpc.aio.Channel, cast: Cast) -> None:
        self._auth, self._users = AuthServiceStub(channel), UsersServiceStub(channel)
        self._purchases, self._analytics = PurchasesServiceStub(channel), AnalyticsServiceStub(channel)
        self._people = [list(person) for person in cast.people]
        self._refreshing = [asyncio.Lock() for _ in cast.people]
        self._owners = [_bearer(token) for token in cast.owner_tokens]
        self._methods, self._weights = list(cast.shares), list(cast.shares.values())
        self._random = random.Random(20261123)  # noqa: S311  the same calls every time

    def call(self) -> tuple[str, Awaitable[object]]:
        """Returns the method called next, and the call."""
        method = self._random.choices(self._methods, self._weights)[0]
        return method, self.of(method, self._random.randrange(len(self._people)))

    def of(self, method: str, number: int) -> Awaitable[object]:
        """Returns a call of this method for the member of this number."""
        made: Callable[[int], Awaitable[object]] = getattr(self, f"_{method}")
        return made(number)

    def _GetMe(self, number: int) -> Awaitable[object]:  # noqa: N802  the method's name
        return self._users.GetMe(users_pb.GetMeRequest(), metadata=self._metadata(number))

    def _GetMyTier(self, number: int) -> Awaitable[object]:  # noqa: N802  the method's name
        return self._users.GetMyTier(users_pb.GetMyTierRequest(), metadata=self._metadata(number))

    def _ListMyPurchases(self, number: int) -> Awaitable[object]:  # noqa: N802  the method's name
        request = purchases_pb.ListMyPurchasesRequest(page_size=20)
        return self._purchases.ListMyPurchases(request, metadata=self._metadata(number))

    async def _RefreshTokens(self, number: int) -> None:  # noqa: N802  the method's name
        async with self._refreshing[number]:
            person = self._people[number]
            request = auth_pb.RefreshTokensRequest(refresh_token=person[2], request_id=str(uuid4()))
            tokens = (await self._auth.RefreshTokens(request)).tokens
            person[1:] = [tokens.access_token, tokens.refresh_token]

    def _RecordPurchase(self, number: int) -> Awaitable[object]:  # noqa: N802  the method's name
        request = purchases_pb.RecordPurchaseRequest(business_id=str(SHOP), purchase=purchase(self._people[number][0]))
        return self._purchases.RecordPurchase(request, metadata=self._owner(number))

    def _GetMemberInsight(self, number: int) -> Awaitable[object]:  # noqa: N802  the method's name
        request = analytics_pb.GetMemberInsightRequest(business_id=str(SHOP), user_id=self._people[number][0])
        return self._analytics.GetMemberInsight(request, metadata=self._owner(number))

    def _UpdateMe(self, number: int) -> Awaitable[object]:  # noqa: N802  the method's name
        user = User(display_name=f"Имя {self._random.randrange(10**6)}")
        request = users_pb.UpdateMeRequest(user=user, update_mask=FieldMask(paths=["display_name"]))
        return self._users.UpdateMe(request, metadata=self._metadata(number))

    def _owner(self, number: int) -> Metadata:
        return self._owners[number % len(self._owners)]

    def _metadata(self, number: int) -> Metadata:
        return _bearer(self._people[number][1])


@asynccontextmanager
async def over_grpc(cast: Cast) -> AsyncIterator[Callers]:
    """Opens a channel to the product for those who call."""
    async with grpc.aio.insecure_channel(cast.target) as channel:
        yield Callers(channel, cast)


def purchase(user_id: str) -> purchases_pb.NewPurchase:
    """Returns a purchase of the last day."""
    external_id = uuid4()
    chance = external_id.int
    bought = Timestamp(seconds=int(time.time()) - chance % 86_400)
    return purchases_pb.NewPurchase(
        user_id=user_id, external_id=str(external_id), amount_minor=100 + chance % 999_900, purchase_time=bought
    )


def _bearer(token: str) -> Metadata:
    return (("authorization", f"Bearer {token}"),)
