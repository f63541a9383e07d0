"""A shop on the whole server: an owner who watches her dashboard, and a buyer."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from svoykrug.analytics.v1 import analytics_service_pb2 as pb
from svoykrug.analytics.v1.analytics_service_pb2_grpc import AnalyticsServiceStub
from svoykrug.purchases.v1 import purchases_service_pb2
from svoykrug.purchases.v1.purchases_service_pb2_grpc import PurchasesServiceStub

from tests.e2e.circle import Person
from tests.e2e.running import Running


@dataclass(frozen=True, slots=True)
class Shop:
    """A business with its owner signed in.

    Attributes:
        running: The server.
        owner: Its owner.
        business_id: Its id.
    """

    running: Running
    owner: Person
    business_id: UUID

    @property
    def analytics(self) -> AnalyticsServiceStub:
        """Figures."""
        return AnalyticsServiceStub(self.running.circle.channel)

    async def sell(self, amount_minor: int) -> None:
        """Records a purchase of the owner's own, made now."""
        moment = Timestamp()
        moment.FromDatetime(datetime.now(UTC))
        bought = purchases_service_pb2.NewPurchase(
            external_id=str(uuid4()),
            user_id=self.owner.user_id,
            amount_minor=amount_minor,
            currency_code="RUB",
            purchase_time=moment,
        )
        request = purchases_service_pb2.RecordPurchaseRequest(business_id=str(self.business_id), purchase=bought)
        await PurchasesServiceStub(self.running.circle.channel).RecordPurchase(request, metadata=self.owner.metadata)

    def watch_request(self) -> pb.WatchDashboardRequest:
        """Returns what the owner watches."""
        return pb.WatchDashboardRequest(business_id=str(self.business_id))


async def next_of(
    stream: "grpc.aio.UnaryStreamCall[pb.WatchDashboardRequest, pb.WatchDashboardResponse]",
) -> pb.WatchDashboardResponse:
    """Returns the next message of a stream.

    Raises:
        grpc.aio.AioRpcError: It was refused, or ended.
    """
    answer = await stream.read()
    assert isinstance(answer, pb.WatchDashboardResponse)
    return answer


async def open_shop(running: Running) -> Shop:
    """Makes a business and signs its owner in."""
    owner, business_id = await running.circle.sign_in("+79160000001"), uuid4()
    async with running.foundation.postgres.transaction() as tx:
        connection = await tx.driver()
        await connection.execute(
            "INSERT INTO businesses (id, name, category, sensitive, create_time, update_time)"
            " VALUES ($1, 'Flowers', 'floristry', false, now(), now())",
            business_id,
        )
        await connection.execute(
            "INSERT INTO business_staff (business_id, user_id, role, create_time, update_time)"
            " VALUES ($1, $2, 'owner', now(), now())",
            business_id,
            UUID(owner.user_id),
        )
    await running.circle.refresh(owner)
    return Shop(running, owner, business_id)
