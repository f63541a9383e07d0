"""Log, console and metrics hold no phone, name, e-mail, code or token; runs after every other test of the same run.

What is searched for is what was really used: see `tests/capture.py`. With the whole suite that is every test of it;
alone it is a day of a circle, with everybody in it and everything that is refused to them.
"""

import io
from typing import Any
from uuid import uuid4

import grpc
import pytest
import structlog
from google.protobuf.field_mask_pb2 import FieldMask
from svoykrug.auth.v1 import auth_service_pb2 as auth_pb
from svoykrug.purchases.v1 import purchases_service_pb2 as purchases_pb
from svoykrug.purchases.v1.purchases_service_pb2_grpc import PurchasesServiceStub
from svoykrug.users.v1 import user_pb2
from svoykrug.users.v1 import users_service_pb2 as users_pb

from svoykrug_server.rpc.logs import configure_logging
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from tests.attacks.cast import ACCESS_LIFE, PHONES, Cast, ShiftedClock, assembled
from tests.attacks.kinds import Kind
from tests.capture import CAPTURE, Capture
from tests.e2e.running import running

NAME, EMAIL = "Аделаида Прокофьевна", "adelaida@mail.example"


@pytest.fixture
def log(request: pytest.FixtureRequest) -> io.StringIO:
    """Where the server's log goes, at its most talkative level."""
    stream = io.StringIO()
    configure_logging(human=False, level="DEBUG", stream=stream)
    return stream


async def test_neither_log_nor_console_nor_metrics_tell_anything_personal(
    postgres: Postgres, warehouse: Warehouse, log: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = ShiftedClock(-2 * ACCESS_LIFE)
    async with running(postgres, warehouse, clock) as server:
        await a_day(await assembled(server, clock))
    CAPTURE.tell(log.getvalue())
    assert '"method":"/svoykrug.users.v1.UsersService/UpdateMe"' in log.getvalue()
    assert "rpc_server_duration_seconds" in CAPTURE.told[-2]
    assert NAME in CAPTURE.values["name"]
    with capsys.disabled():
        print(  # noqa: T201 - the counts are results of this test
            f"\ncapture: {CAPTURE.line_count} lines searched for {CAPTURE.value_count} values: "
            f"{ {kind: len(values) for kind, values in sorted(CAPTURE.values.items())} }"
        )
    assert CAPTURE.found() == []


async def a_day(cast: Cast) -> None:
    """Does what members, staff, admins and attackers do, right and wrong."""
    member, admin = cast.metadata_of(Kind.MEMBER), cast.metadata_of(Kind.ADMIN)
    users, auth = cast.circle.users, cast.circle.auth
    profile = user_pb2.User(display_name=NAME, email=EMAIL)
    update = users_pb.UpdateMeRequest(user=profile, update_mask=FieldMask(paths=["display_name", "email"]))
    await users.UpdateMe(update, metadata=member)
    me = (await users.GetMe(users_pb.GetMeRequest(), metadata=member)).user
    new = users_pb.BatchCreateUsersRequest(users=[users_pb.NewUser(phone=next(PHONES), display_name=NAME)])
    await users.BatchCreateUsers(new, metadata=admin)
    await users.ListUsers(users_pb.ListUsersRequest(phone=me.phone[-4:]), metadata=admin)
    await users.ListUsers(users_pb.ListUsersRequest(name=NAME), metadata=admin)
    await _sell(cast, me.phone)
    started = await auth.StartSignIn(auth_pb.StartSignInRequest(phone=next(PHONES)))
    wrong = auth_pb.CompleteSignInRequest(
        challenge_id=started.challenge.challenge_id, code="000000", request_id=str(uuid4())
    )
    refused: list[Any] = [
        auth.StartSignIn(auth_pb.StartSignInRequest(phone=f"{me.phone}x")),
        auth.CompleteSignIn(wrong),
        auth.RefreshTokens(auth_pb.RefreshTokensRequest(refresh_token="A" * 43, request_id=str(uuid4()))),
        auth.IssueServiceToken(auth_pb.IssueServiceTokenRequest(assertion="no.assertion.really")),
        users.GetMe(users_pb.GetMeRequest(), metadata=(("authorization", f"Bearer {me.phone}"),)),
        users.GetMe(users_pb.GetMeRequest(), metadata=cast.metadata_of(Kind.EXPIRED)),
    ]
    for call in refused:
        with pytest.raises(grpc.aio.AioRpcError):
            await call


async def _sell(cast: Cast, phone: str) -> None:
    purchase = purchases_pb.NewPurchase(
        phone=phone, external_id=str(uuid4()), amount_minor=100_000, currency_code="RUB"
    )
    purchase.purchase_time.GetCurrentTime()
    request = purchases_pb.RecordPurchaseRequest(business_id=cast.here, purchase=purchase)
    await PurchasesServiceStub(cast.circle.channel).RecordPurchase(request, metadata=cast.metadata_of(Kind.STAFF_HERE))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("phone", "+79995550017"),
        ("phone", "8 999 555-00-18"),
        ("name", NAME),
        ("email", EMAIL),
        ("code", "493817"),
        ("token", "c3ZveWtydWcgcmVmcmVzaCB0b2tlbg"),
    ],
)
@pytest.mark.parametrize("place", ["field", "text"])
def test_a_planted_line_is_found(log: io.StringIO, kind: str, value: str, place: str) -> None:
    capture = Capture()
    capture.note(kind, value)
    if place == "field":
        structlog.get_logger().info("planted", value=value)
    else:
        structlog.get_logger().warning(f"{value} was here")
    capture.tell(log.getvalue())
    assert [entry.split(" ")[0] for entry in capture.found()][:1] == [kind]


def test_what_only_looks_like_a_phone_an_address_or_a_token_is_found_too(log: io.StringIO) -> None:
    capture = Capture()
    for value in ("+79995550019", "anna@mail.example", "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"):
        structlog.get_logger().info("planted", value=value)
    capture.tell(log.getvalue())
    assert sorted(entry.split(" ")[0] for entry in capture.found()) == ["email", "phone", "token"]


def test_a_line_that_tells_nothing_personal_is_not_found(log: io.StringIO) -> None:
    capture = Capture()
    for kind, value in (("phone", "+79995550020"), ("name", NAME), ("code", "493817")):
        capture.note(kind, value)
    structlog.get_logger().info("call", method="/svoykrug.users.v1.UsersService/GetMe", milliseconds=0.493817)
    capture.tell(log.getvalue())
    assert capture.found() == []
