"""An owner compares two answers, a service reads what it may: nobody learns what another business sold, or to whom.

What the matrix tells an owner is attacked in `tests/analytics/dashboards/test_floor.py` and `test_blur.py`; so is, in
the former, the circle's one sum of sensitive businesses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.protobuf import descriptor_pb2, message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from svoykrug.analytics.v1 import analytics_service_pb2 as pb
from svoykrug.analytics.v1 import snapshot_pb2
from svoykrug.analytics.v1.analytics_service_pb2_grpc import AnalyticsServiceStub
from svoykrug.businesses.v1 import business_pb2
from svoykrug.businesses.v1 import businesses_service_pb2 as businesses_pb
from svoykrug.operations.v1 import operations_service_pb2 as operations_pb
from svoykrug.operations.v1.operations_service_pb2_grpc import OperationsServiceStub
from svoykrug.purchases.v1 import purchases_service_pb2 as purchases_pb
from svoykrug.purchases.v1.purchases_service_pb2_grpc import PurchasesServiceStub
from svoykrug.users.v1 import users_service_pb2 as users_pb

from tests.attacks.cast import Cast
from tests.attacks.kinds import Kind
from tests.attacks.plausible import request_for
from tests.attacks.wire import Metadata, answer_to, methods_of, path_of, shape_of
from tests.waiting import until

METHODS = methods_of(["svoykrug.analytics.v1.AnalyticsService"])
READING = [
    method
    for method in METHODS
    if method.GetOptions().idempotency_level == descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS
]
CUSTOMERS = (Kind.MEMBER, Kind.STAFF_HERE, Kind.STAFF_ELSEWHERE, Kind.OWNER_ELSEWHERE, Kind.OWNER_HERE, Kind.ADMIN)
HOUR = timedelta(hours=1)
Answer = Message | str


@dataclass(frozen=True, slots=True)
class Market:
    """The owner's business, another one and a clinic, with customers whom all of them know.

    Attributes:
        cast: Who takes part.
        clinic: A sensitive business.
        opened: When it began.
    """

    cast: Cast
    clinic: str
    opened: datetime

    @property
    def owner(self) -> Metadata:
        """What the owner calls with."""
        return self.cast.metadata_of(Kind.OWNER_HERE)

    @property
    def analytics(self) -> AnalyticsServiceStub:
        """Figures."""
        return AnalyticsServiceStub(self.cast.circle.channel)

    async def sell(self, business_id: str, customers: Sequence[Kind], amount_minor: int, hours_ago: int) -> list[str]:
        """Records a purchase of each customer and returns their ids."""
        stub = PurchasesServiceStub(self.cast.circle.channel)
        moment = Timestamp()
        moment.FromDatetime(self.opened - hours_ago * HOUR)
        made = []
        for customer in customers:
            bought = purchases_pb.NewPurchase(
                external_id=str(uuid4()),
                user_id=self.cast.people[customer].user_id,
                amount_minor=amount_minor,
                currency_code="RUB",
                purchase_time=moment,
            )
            request = purchases_pb.RecordPurchaseRequest(business_id=business_id, purchase=bought)
            answer = await stub.RecordPurchase(request, metadata=self.cast.metadata_of(Kind.SUPERADMIN))
            made.append(answer.purchase.id)
        return made

    async def refund(self, business_id: str, purchase_id: str, amount_minor: int) -> None:
        """Gives a part of a purchase back."""
        moment = Timestamp()
        moment.FromDatetime(self.opened)
        request = purchases_pb.RefundPurchaseRequest(
            business_id=business_id,
            purchase_id=purchase_id,
            external_id=str(uuid4()),
            amount_minor=amount_minor,
            currency_code="RUB",
            refund_time=moment,
        )
        await PurchasesServiceStub(self.cast.circle.channel).RefundPurchase(
            request, metadata=self.cast.metadata_of(Kind.SUPERADMIN)
        )

    async def others_sell(self) -> None:
        """Sells to the same customers elsewhere and at the clinic, and takes some of it back."""
        for business_id in (self.cast.elsewhere, self.clinic):
            bought = await self.sell(business_id, CUSTOMERS, 777_700, 5)
            await self.sell(business_id, CUSTOMERS[:2], 99_900, 1)
            await self.refund(business_id, bought[0], 777_700)
            await self.refund(business_id, bought[1], 1)
        await self.shipped()

    async def shipped(self) -> None:
        """Waits until the warehouse holds everything that was sold."""
        sold = datetime.now(UTC)

        async def is_shipped() -> bool:
            request = pb.GetFreshnessRequest()
            answer = await self.analytics.GetFreshness(request, metadata=self.cast.metadata_of(Kind.ADMIN))
            watermark = answer.freshness.watermark.ToDatetime(tzinfo=UTC)
            return answer.equal and not answer.waiting_count and watermark > sold

        await until(is_shipped, seconds=20)

    async def snapshot(self, cutoff: Timestamp | None) -> str:
        """Takes a snapshot of the owner's business and returns its id."""
        request = pb.CreateSnapshotRequest(
            business_id=self.cast.here, cutoff_time=cutoff, window_days=365, request_id=str(uuid4())
        )
        operation = (await self.analytics.CreateSnapshot(request, metadata=self.owner)).operation
        watching = operations_pb.WatchOperationRequest(operation_id=operation.id)
        operations = OperationsServiceStub(self.cast.circle.channel)
        async for answer in operations.WatchOperation(watching, metadata=self.owner):
            operation = answer.operation
        return operation.result.snapshot_id

    async def members(self, snapshot_id: str) -> list[snapshot_pb2.SegmentMember]:
        """Returns the members of a snapshot of the owner's business."""
        request = pb.ListSegmentMembersRequest(business_id=self.cast.here, snapshot_id=snapshot_id)
        return list((await self.analytics.ListSegmentMembers(request, metadata=self.owner)).members)

    async def every_answer(self, snapshot_ids: tuple[str, str], customer: Kind) -> dict[str, Answer]:
        """Returns what every method that reads answers the owner about her business; a refusal as its words."""
        values: dict[str, Any] = {
            "user_id": self.cast.people[customer].user_id,
            "snapshot_id": snapshot_ids[0],
            "from_snapshot_id": snapshot_ids[0],
            "to_snapshot_id": snapshot_ids[1],
            "churn_model_id": "",
        }
        return {
            method.name: await self._answer(method, request_for(method, self.cast.here, **values)) for method in READING
        }

    async def _answer(self, method: MethodDescriptor, request: Message) -> Answer:
        if request.DESCRIPTOR.name == "GetMemberInsightRequest":
            request.ClearField("as_of_time")
        answer_class = message_factory.GetMessageClass(method.output_type)
        shape = "unary_stream" if shape_of(method)[1] else "unary_unary"
        call = getattr(self.cast.circle.channel, shape)(
            path_of(method),
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer_class.FromString,
        )
        running = call(request, metadata=self.owner, timeout=20)
        try:
            answer: Message = await (running.read() if shape == "unary_stream" else running)
        except grpc.aio.AioRpcError as error:
            return f"{error.code()} {error.details()}"
        return without_freshness(answer)


def without_freshness(message: Message) -> Message:
    """Clears how far the warehouse was when it answered, and when that was proven: both move by themselves."""
    for field, value in message.ListFields():
        if field.name in ("freshness", "watermark", "proven_time"):
            message.ClearField(field.name)
        elif field.message_type is not None and not field.is_repeated:
            without_freshness(value)
        elif field.message_type is not None:
            for each in value:
                without_freshness(each)
    return message


@pytest.fixture
async def market(cast: Cast) -> Market:
    """Customers who have bought at the owner's business."""
    request = businesses_pb.CreateBusinessRequest(
        name="Клиника", category=business_pb2.CATEGORY_DENTAL, request_id=str(uuid4())
    )
    created = await cast.circle.businesses.CreateBusiness(request, metadata=cast.metadata_of(Kind.ADMIN))
    market = Market(cast, created.business.id, datetime.now(UTC) - HOUR)
    bought = await market.sell(cast.here, CUSTOMERS, 10_000, 6)
    for number, customer in enumerate(CUSTOMERS):
        await market.sell(cast.here, [customer] * (number % 3), 1_000 * (number + 1), 2 + number)
    await market.refund(cast.here, bought[0], 4_000)
    await market.shipped()
    return market


async def test_nothing_that_others_sell_changes_any_answer_to_an_owner(market: Market) -> None:
    cutoff = Timestamp()
    cutoff.FromDatetime(market.opened)
    before_id = await market.snapshot(cutoff)
    before = await market.every_answer((before_id, before_id), Kind.MEMBER)
    await market.others_sell()
    after = await market.every_answer((before_id, before_id), Kind.MEMBER)
    assert {name for name, answer in before.items() if not isinstance(answer, str)} >= {
        "GetCohortRetention",
        "GetDashboard",
        "GetFreshness",
        "GetMemberHistory",
        "GetMemberInsight",
        "GetSegmentMovements",
        "GetSegmentSummary",
        "ListSegmentMembers",
        "StreamSegmentMembers",
        "WatchDashboard",
    }
    assert after == before
    again_id = await market.snapshot(cutoff)
    assert await market.members(again_id) == await market.members(before_id)


async def test_a_customer_who_deletes_her_account_takes_nothing_but_her_id_from_the_figures(market: Market) -> None:
    snapshot_id = await market.snapshot(None)
    before = await market.every_answer((snapshot_id, snapshot_id), Kind.STAFF_HERE)
    members = await market.members(snapshot_id)
    gone = market.cast.people[Kind.MEMBER].user_id
    await market.cast.circle.users.DeleteMe(users_pb.DeleteMeRequest(), metadata=market.cast.metadata_of(Kind.MEMBER))
    for member in members:
        member.user_id = "" if member.user_id == gone else member.user_id
    assert await market.members(snapshot_id) == members
    after = await market.every_answer((snapshot_id, snapshot_id), Kind.STAFF_HERE)
    listing = {"ListSegmentMembers", "StreamSegmentMembers"}
    assert {name for name in before if before[name] != after[name]} == listing


async def test_a_stream_tells_an_owner_nothing_of_what_others_sell(market: Market) -> None:
    request = pb.WatchDashboardRequest(business_id=market.cast.here)
    stream = market.analytics.WatchDashboard(request, metadata=market.owner)
    first = await stream.read()
    await market.others_sell()
    await market.sell(market.cast.here, [Kind.MEMBER], 500, 1)
    second = await stream.read()
    stream.cancel()
    assert isinstance(first, pb.WatchDashboardResponse)
    assert isinstance(second, pb.WatchDashboardResponse)
    assert second.dashboard.period.purchase_count == first.dashboard.period.purchase_count + 1
    assert second.dashboard.period.net_revenue_minor == first.dashboard.period.net_revenue_minor + 500


async def test_no_method_tells_an_owner_of_the_circle_or_of_another_business(market: Market) -> None:
    for method in METHODS:
        for business_id in ("", market.cast.elsewhere, market.clinic):
            request = request_for(method, business_id).SerializeToString()
            error = await answer_to(market.cast.circle.channel, method, [request], market.owner)
            assert error is not None, (method.name, business_id)
            assert error.code() is grpc.StatusCode.PERMISSION_DENIED, (method.name, business_id)


async def test_no_method_tells_a_service_of_a_sensitive_business(market: Market) -> None:
    await market.others_sell()
    for method in METHODS:
        scope = "analytics.read" if method in READING else "analytics.write"
        request = request_for(method, market.clinic).SerializeToString()
        metadata = market.cast.metadata_of(Kind.SERVICE_WITH_SCOPE, scope)
        error = await answer_to(market.cast.circle.channel, method, [request], metadata)
        assert error is not None, method.name
        assert error.code() is grpc.StatusCode.PERMISSION_DENIED, method.name


async def test_the_purchases_of_a_clinic_change_nothing_that_a_service_hears_of_the_circle(market: Market) -> None:
    reader = market.cast.metadata_of(Kind.SERVICE_WITH_SCOPE, "analytics.read")

    async def answers() -> list[Message]:
        analytics = market.analytics
        return [
            without_freshness(await analytics.GetDashboard(pb.GetDashboardRequest(), metadata=reader)),
            without_freshness(await analytics.GetFreshness(pb.GetFreshnessRequest(), metadata=reader)),
            without_freshness(await analytics.GetCohortRetention(pb.GetCohortRetentionRequest(), metadata=reader)),
            without_freshness(
                await analytics.GetCrossBusinessMatrix(pb.GetCrossBusinessMatrixRequest(), metadata=reader)
            ),
        ]

    before = await answers()
    bought = await market.sell(market.clinic, CUSTOMERS, 5_000, 3)
    await market.refund(market.clinic, bought[0], 5_000)
    await market.shipped()
    assert await answers() == before
