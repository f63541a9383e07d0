"""A number changes hands, and a reviewer signs in: through the whole server, as apps and admins see it."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date
from svoykrug.auth.v1 import auth_admin_service_pb2 as admin_pb
from svoykrug.auth.v1 import auth_service_pb2 as pb
from svoykrug.auth.v1.auth_admin_service_pb2_grpc import AuthAdminServiceStub
from svoykrug.businesses.v1 import business_pb2
from svoykrug.businesses.v1 import businesses_service_pb2 as businesses_pb
from svoykrug.purchases.v1 import purchases_service_pb2 as purchases_pb
from svoykrug.purchases.v1.purchases_service_pb2_grpc import PurchasesServiceStub
from svoykrug.users.v1 import user_pb2
from svoykrug.users.v1 import users_service_pb2 as users_pb

from svoykrug_server.auth.composition import auth_options
from svoykrug_server.auth.convert import challenge_id_from_text
from svoykrug_server.auth.model import Purpose
from svoykrug_server.auth.session_ends import SessionEnds
from svoykrug_server.kit.caller import Role
from svoykrug_server.kit.clock import SystemClock
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.users.commands import GrantRole
from tests.conftest import isolated_settings
from tests.e2e.circle import CONSENTS, Circle, Person
from tests.serving import Refusal, refusal_of

CHIEF_PHONE, PHONE, NEW_PHONE = "+79990000001", "+79990000002", "+79990000003"
CODE = "424242"


@pytest.fixture
async def chief(circle: Circle, postgres: Postgres) -> Person:
    """The first superadmin, made at the command line, signed in."""
    clock = SystemClock()
    ends = SessionEnds(auth_options(isolated_settings()).session, clock)
    await GrantRole(postgres, clock, ends)(CHIEF_PHONE, Role.SUPERADMIN)
    return await circle.sign_in(CHIEF_PHONE)


async def answer_to(circle: Circle, phone: str, code: str = "") -> pb.CompleteSignInRequest:
    """Asks for a code and returns the answer with the right one, or with the given one."""
    challenge = (await circle.auth.StartSignIn(pb.StartSignInRequest(phone=phone))).challenge
    right = circle.code_of(challenge_id_from_text(challenge.challenge_id))
    return pb.CompleteSignInRequest(
        challenge_id=challenge.challenge_id, code=code or right, request_id=str(uuid4()), consents=CONSENTS
    )


async def forget_sends(postgres: Postgres, statement: str) -> None:
    """Lets a minute pass for the limits on sends, and more for whoever the statement is about."""
    async with postgres.transaction() as tx:
        driver = await tx.driver()
        await driver.execute("UPDATE auth_code_sends SET send_time = send_time - interval '61 seconds'")
        await driver.execute(statement)


async def reviewer(circle: Circle, chief: Person) -> pb.CompleteSignInResponse:
    """Makes a demo phone and signs a reviewer in with its code."""
    expire_time = Timestamp()
    expire_time.FromDatetime(datetime.now(UTC) + timedelta(days=30))
    request = admin_pb.SetDemoPhoneRequest(phone=PHONE, code=CODE, expire_time=expire_time)
    await AuthAdminServiceStub(circle.channel).SetDemoPhone(request, metadata=chief.metadata)
    return await circle.auth.CompleteSignIn(await answer_to(circle, PHONE, CODE))


async def business(circle: Circle, chief: Person) -> str:
    creation = businesses_pb.CreateBusinessRequest(
        name="Салон", category=business_pb2.CATEGORY_BEAUTY, request_id=str(uuid4())
    )
    return (await circle.businesses.CreateBusiness(creation, metadata=chief.metadata)).business.id


async def test_a_person_takes_another_phone(circle: Circle) -> None:
    anna = await circle.sign_in(PHONE)
    start = pb.StartPhoneChangeRequest(phone="8 999 000-00-03")
    challenge = (await circle.auth.StartPhoneChange(start, metadata=anna.metadata)).challenge
    challenge_id = challenge_id_from_text(challenge.challenge_id)
    code = circle.codes.derive(challenge_id, circle.codes.active_kid, Purpose.PHONE_CHANGE)
    assert code is not None
    answer = pb.CompletePhoneChangeRequest(challenge_id=challenge.challenge_id, code=code, request_id=str(uuid4()))
    changed = await circle.auth.CompletePhoneChange(answer, metadata=anna.metadata)
    assert (changed.phone, changed.revoked_count) == (NEW_PHONE, 0)
    assert await circle.auth.CompletePhoneChange(answer, metadata=anna.metadata) == changed
    assert (await circle.users.GetMe(users_pb.GetMeRequest(), metadata=anna.metadata)).user.phone == NEW_PHONE


async def test_a_silent_number_is_proven_or_starts_anew_and_its_former_owner_has_no_phone(
    circle: Circle, chief: Person, postgres: Postgres
) -> None:
    anna = await circle.sign_in(PHONE)
    await forget_sends(postgres, "UPDATE auth_last_seen SET seen_time = now() - interval '181 days'")
    answer = await answer_to(circle, PHONE)
    answer.birth_date.CopyFrom(Date(year=1988, month=3, day=8))
    refused = await refusal_of(circle.auth.CompleteSignIn(answer))
    assert refused == Refusal(grpc.StatusCode.FAILED_PRECONDITION, "ACCOUNT_PROOF_REQUIRED")
    answer.start_new_account = True
    assert (await circle.auth.CompleteSignIn(answer)).new_user
    reading = users_pb.GetUserRequest(user_id=anna.user_id)
    former = (await circle.users.GetUser(reading, metadata=chief.metadata)).user
    assert (former.phone, former.state) == ("", user_pb2.USER_STATE_ACTIVE)
    assert (await refusal_of(circle.users.GetMe(users_pb.GetMeRequest(), metadata=anna.metadata))).reason


async def test_a_reviewer_signs_in_with_the_fixed_code_and_can_have_no_purchase(circle: Circle, chief: Person) -> None:
    signed_in = await reviewer(circle, chief)
    metadata = (("authorization", f"Bearer {signed_in.tokens.access_token}"),)
    assert (await circle.users.GetMe(users_pb.GetMeRequest(), metadata=metadata)).user.id == signed_in.user_id
    time = Timestamp()
    time.FromDatetime(datetime.now(UTC) - timedelta(days=1))
    purchases = PurchasesServiceStub(circle.channel)
    business_id = await business(circle, chief)
    for buyer in ({"phone": PHONE}, {"user_id": signed_in.user_id}):
        purchase = purchases_pb.NewPurchase(
            external_id="receipt", amount_minor=100, currency_code="RUB", purchase_time=time, **buyer
        )
        request = purchases_pb.RecordPurchaseRequest(business_id=business_id, purchase=purchase)
        refused = await refusal_of(purchases.RecordPurchase(request, metadata=chief.metadata))
        assert refused.reason == "MEMBER_UNKNOWN"


async def test_a_reviewer_can_be_given_no_role(circle: Circle, chief: Person) -> None:
    user_id = (await reviewer(circle, chief)).user_id
    work = businesses_pb.AddStaffRequest(
        business_id=await business(circle, chief), user_id=user_id, role=user_pb2.STAFF_ROLE_STAFF
    )
    assert (await refusal_of(circle.businesses.AddStaff(work, metadata=chief.metadata))).reason == "MEMBER_UNKNOWN"
