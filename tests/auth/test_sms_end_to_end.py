"""The whole server with a provider: she gets her code by SMS, and support sees what became of it."""

import io
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import grpc
import pytest
import structlog
from svoykrug.auth.v1 import auth_admin_service_pb2, auth_service_pb2
from svoykrug.auth.v1 import code_delivery_pb2 as pb
from svoykrug.auth.v1.auth_admin_service_pb2_grpc import AuthAdminServiceStub

from svoykrug_server.auth.composition import auth_options
from svoykrug_server.auth.session_ends import SessionEnds
from svoykrug_server.kit.caller import Role
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.kit.startup import CannotStart
from svoykrug_server.rpc.logs import configure_logging
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from svoykrug_server.users.commands import GrantRole
from tests.auth.sms_providers import API_KEY, SmscProvider, SmsRuProvider, listening
from tests.auth.sms_world import configured
from tests.conftest import isolated_settings
from tests.e2e.circle import CONSENTS, Circle, Metadata
from tests.e2e.running import running
from tests.waiting import until

CHIEF = "+79990000001"
MEMBER = "+79990000002"


@dataclass(slots=True)
class Support:
    """An admin who asks what became of SMS."""

    circle: Circle
    metadata: Metadata

    async def trace(self, phone: str) -> list[pb.CodeDelivery]:
        """Returns what became of the SMS to a phone."""
        request = auth_admin_service_pb2.TraceCodeDeliveryRequest(phone=phone)
        stub = AuthAdminServiceStub(self.circle.channel)
        return list((await stub.TraceCodeDelivery(request, metadata=self.metadata)).deliveries)

    async def is_sent(self, phone: str) -> bool:
        """Tells whether the last SMS to a phone is known to be sent."""
        return (await self.trace(phone))[0].state == pb.SMS_STATE_SENT

    async def is_delivered(self, phone: str) -> bool:
        """Tells whether the last SMS to a phone is known to have arrived."""
        return (await self.trace(phone))[0].delivery_state == pb.DELIVERY_STATE_DELIVERED


async def admitted(circle: Circle, postgres: Postgres, clock: ManualClock) -> Support:
    """Makes the first superadmin and signs her in."""
    ends = SessionEnds(auth_options(isolated_settings()).session, clock)
    await GrantRole(postgres, clock, ends)(CHIEF, Role.SUPERADMIN)
    return Support(circle, (await circle.sign_in(CHIEF)).metadata)


def texts_to(provider: SmscProvider, phone: str) -> list[str]:
    """Returns the texts that were sent to a phone."""
    return [it.form["mes"] for it in provider.received if it.form.get("phones") == phone]


async def test_a_code_arrives_by_the_second_provider_and_support_sees_its_way(
    postgres: Postgres, warehouse: Warehouse
) -> None:
    stream, clock = io.StringIO(), ManualClock(datetime.now(UTC))
    smsru, smsc = SmsRuProvider(), SmscProvider()
    async with (
        listening(smsru),
        listening(smsc),
        running(postgres, warehouse, clock, **configured(smsru, smsc)) as server,
    ):
        configure_logging(human=False, level="DEBUG", stream=stream)
        support = await admitted(server.circle, postgres, clock)
        await until(lambda: len(smsru.states) == 1)

        smsru.codes = [201]
        started = await server.circle.auth.StartSignIn(auth_service_pb2.StartSignInRequest(phone=MEMBER))
        await until(lambda: bool(texts_to(smsc, MEMBER)))
        (text,) = texts_to(smsc, MEMBER)
        code = re.search(r"#(\d{6})$", text)
        assert code is not None
        await server.circle.auth.CompleteSignIn(
            auth_service_pb2.CompleteSignInRequest(
                challenge_id=started.challenge.challenge_id,
                code=code[1],
                request_id=str(uuid4()),
                consents=CONSENTS,
            )
        )
        smsc.states = dict.fromkeys(smsc.states, 1)
        # Only from then on the time of the first question about it is known.
        await until(lambda: support.is_sent(MEMBER))
        clock.advance(timedelta(seconds=10))
        await until(lambda: support.is_delivered(MEMBER))
        (told,) = await support.trace(MEMBER)
    structlog.reset_defaults()
    assert (told.kind, told.state, told.verified) == (pb.SMS_KIND_SIGN_IN_CODE, pb.SMS_STATE_SENT, True)
    assert [(it.provider, it.outcome) for it in told.attempts] == [("smsru", "no_money"), ("smsc", "taken")]
    assert code[1] not in (told.failure, *(it.outcome for it in told.attempts))
    for secret in (MEMBER, MEMBER[1:], API_KEY, text):
        assert secret not in stream.getvalue()


async def test_members_may_not_trace(postgres: Postgres, warehouse: Warehouse) -> None:
    async with running(postgres, warehouse) as server:
        member = await server.circle.sign_in(MEMBER)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await Support(server.circle, member.metadata).trace(MEMBER)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_server_whose_provider_lacks_its_key_does_not_start(postgres: Postgres, warehouse: Warehouse) -> None:
    with pytest.raises(CannotStart, match="SVOYKRUG_SMSRU_API_ID"):
        async with running(postgres, warehouse, sms_providers=["smsru"]):
            raise AssertionError
