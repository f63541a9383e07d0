"""What a membership is worth, seen over the network: consents, referrals, tiers that follow purchases, wallet codes."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import uuid4

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from svoykrug.businesses.v1 import business_pb2, businesses_service_pb2
from svoykrug.purchases.v1 import purchases_service_pb2
from svoykrug.purchases.v1.purchases_service_pb2_grpc import PurchasesServiceStub
from svoykrug.users.v1 import user_pb2
from svoykrug.users.v1 import users_service_pb2 as pb

from svoykrug_server.auth.composition import auth_options
from svoykrug_server.auth.session_ends import SessionEnds
from svoykrug_server.kit.caller import Role
from svoykrug_server.kit.clock import SystemClock
from svoykrug_server.storage.postgres import Postgres
from svoykrug_server.storage.warehouse import Warehouse
from svoykrug_server.users.commands import GrantRole
from tests.conftest import isolated_settings
from tests.e2e.circle import Circle, Person
from tests.e2e.running import running
from tests.serving import Refusal, refusal_of
from tests.waiting import until

VIP = 3_000_000
CATEGORIES = (
    business_pb2.CATEGORY_BEAUTY,
    business_pb2.CATEGORY_GASTRONOMY,
    business_pb2.CATEGORY_FLORISTRY,
)


@dataclass(slots=True)
class Town:
    """The whole server, whoever runs it, and three businesses."""

    circle: Circle
    chief: Person
    business_ids: list[str] = field(default_factory=list)

    async def record(self, business_id: str, **values: object) -> purchases_service_pb2.RecordPurchaseResponse:
        """Records a purchase as the chief."""
        now = Timestamp()
        now.GetCurrentTime()
        details = {"external_id": str(uuid4()), "amount_minor": VIP, "purchase_time": now, **values}
        purchase = purchases_service_pb2.NewPurchase(**details)  # type: ignore[arg-type]  # field values of a test
        request = purchases_service_pb2.RecordPurchaseRequest(business_id=business_id, purchase=purchase)
        stub = PurchasesServiceStub(self.circle.channel)
        answer: purchases_service_pb2.RecordPurchaseResponse = await stub.RecordPurchase(
            request, metadata=self.chief.metadata
        )
        return answer

    async def tier_of(self, person: Person) -> user_pb2.TierStatus:
        """Returns what GetMyTier answers."""
        answer = await self.circle.users.GetMyTier(pb.GetMyTierRequest(), metadata=person.metadata)
        return answer.tier_status


@pytest.fixture
async def town(postgres: Postgres, warehouse: Warehouse) -> AsyncIterator[Town]:
    async with running(postgres, warehouse, code_resend_seconds=0, wallet_wrong_codes_per_caller_hour=2) as server:
        clock = SystemClock()
        ends = SessionEnds(auth_options(isolated_settings()).session, clock)
        await GrantRole(postgres, clock, ends)("+79990000001", Role.SUPERADMIN)
        town = Town(server.circle, await server.circle.sign_in("+79990000001"))
        for category in CATEGORIES:
            request = businesses_service_pb2.CreateBusinessRequest(
                request_id=str(uuid4()), name=f"Business {category}", category=category
            )
            made = await town.circle.businesses.CreateBusiness(request, metadata=town.chief.metadata)
            town.business_ids.append(made.business.id)
        yield town


@pytest.fixture
async def anna(town: Town) -> Person:
    return await town.circle.sign_in("+79990000002")


async def test_a_tier_is_told_at_once_and_the_profile_says_it_within_seconds_while_her_token_goes_on(
    town: Town, anna: Person
) -> None:
    before = await town.tier_of(anna)
    assert (before.tier, before.next_tier) == (user_pb2.TIER_INSIDER, user_pb2.TIER_VIP)
    assert (before.missing_spend_minor, before.missing_category_count, before.currency_code) == (VIP, 3, "RUB")
    for business_id in town.business_ids:
        await town.record(business_id, user_id=anna.user_id)

    status = await town.tier_of(anna)
    assert (status.tier, status.net_spend_minor, status.category_count) == (user_pb2.TIER_VIP, 3 * VIP, 3)
    assert (status.next_tier, status.missing_spend_minor, status.missing_category_count) == (
        user_pb2.TIER_ELITE,
        1_000_000,
        2,
    )
    assert not status.pinned
    assert status.window_start_time.seconds < status.compute_time.seconds - 364 * 86_400

    async def profile_says_so() -> bool:
        answer = await town.circle.users.GetMe(pb.GetMeRequest(), metadata=anna.metadata)
        return bool(answer.user.tier == user_pb2.TIER_VIP)

    await until(profile_says_so, seconds=10)


async def test_an_admin_pins_a_tier_and_frees_it(town: Town, anna: Person) -> None:
    request = pb.SetUserTierRequest(user_id=anna.user_id, tier=user_pb2.TIER_INNER_CIRCLE)
    assert (
        await refusal_of(town.circle.users.SetUserTier(request, metadata=anna.metadata))
    ).reason == "PERMISSION_DENIED"
    answer = await town.circle.users.SetUserTier(request, metadata=town.chief.metadata)
    assert answer.user.tier == user_pb2.TIER_INNER_CIRCLE
    status = await town.tier_of(anna)
    assert (status.tier, status.pinned, status.next_tier) == (
        user_pb2.TIER_INNER_CIRCLE,
        True,
        user_pb2.TIER_UNSPECIFIED,
    )

    freed = pb.SetUserTierRequest(user_id=anna.user_id)
    answer = await town.circle.users.SetUserTier(freed, metadata=town.chief.metadata)
    assert answer.user.tier == user_pb2.TIER_INSIDER


@pytest.mark.parametrize("tier", [user_pb2.TIER_INSIDER, user_pb2.TIER_VIP, user_pb2.TIER_ELITE, 99])
async def test_no_other_tier_is_set(town: Town, anna: Person, tier: user_pb2.Tier.ValueType) -> None:
    request = pb.SetUserTierRequest(user_id=anna.user_id, tier=tier)
    refusal = await refusal_of(town.circle.users.SetUserTier(request, metadata=town.chief.metadata))
    assert refusal == Refusal(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS", ("tier",))


async def test_a_purchase_by_wallet_code_is_hers_and_the_code_is_good_once(town: Town, anna: Person) -> None:
    shown = await town.circle.users.GetMyWalletCode(pb.GetMyWalletCodeRequest(), metadata=anna.metadata)
    answer = await town.record(town.business_ids[0], wallet_code=shown.wallet_code.lower())
    assert answer.purchase.user_id == anna.user_id
    refusal = await refusal_of(town.record(town.business_ids[0], wallet_code=shown.wallet_code))
    assert refusal == Refusal(grpc.StatusCode.FAILED_PRECONDITION, "WALLET_CODE_INVALID", ("purchase.wallet_code",))


async def test_guessing_wallet_codes_ends_with_the_time_to_wait(town: Town) -> None:
    for _ in range(2):
        assert (
            await refusal_of(town.record(town.business_ids[0], wallet_code="00000000"))
        ).reason == "WALLET_CODE_INVALID"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await town.record(town.business_ids[0], wallet_code="00000000")
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    status = rpc_status.from_call(refused.value)  # type: ignore[arg-type]  # it needs code, details and trailers: an aio error has them
    assert status is not None
    retry = error_details_pb2.RetryInfo()
    assert [detail for detail in status.details if detail.Unpack(retry)]
    assert 3_500 < retry.retry_delay.seconds <= 3_600


async def test_a_batch_refuses_a_wallet_code_in_its_row(town: Town) -> None:
    row = purchases_service_pb2.NewPurchase(external_id="1", wallet_code="00000000", amount_minor=1)
    request = purchases_service_pb2.BatchRecordPurchasesRequest(business_id=town.business_ids[0], purchases=[row])
    stub = PurchasesServiceStub(town.circle.channel)
    answer = await stub.BatchRecordPurchases(request, metadata=town.chief.metadata)
    assert [refused.field for refused in answer.rejected_rows] == ["wallet_code"]


async def test_consents_are_given_taken_back_and_read(town: Town, anna: Person) -> None:
    def said(kind: user_pb2.ConsentKind.ValueType, *, granted: bool) -> pb.SetMyConsentsRequest:
        return pb.SetMyConsentsRequest(consents=[user_pb2.ConsentGrant(kind=kind, version="2026-11", granted=granted)])

    marketing = user_pb2.CONSENT_KIND_MARKETING
    answer = await town.circle.users.SetMyConsents(said(marketing, granted=True), metadata=anna.metadata)
    read = await town.circle.users.GetMyConsents(pb.GetMyConsentsRequest(), metadata=anna.metadata)
    assert list(answer.consents) == list(read.consents)
    assert [(consent.kind, consent.granted) for consent in read.consents] == [(1, True), (2, True), (marketing, True)]

    taken_back = said(user_pb2.CONSENT_KIND_TERMS, granted=False)
    refusal = await refusal_of(town.circle.users.SetMyConsents(taken_back, metadata=anna.metadata))
    assert refusal == Refusal(grpc.StatusCode.FAILED_PRECONDITION, "CONSENT_REQUIRED")
    unknown = said(99, granted=True)  # type: ignore[arg-type]  # no kind
    refusal = await refusal_of(town.circle.users.SetMyConsents(unknown, metadata=anna.metadata))
    assert refusal == Refusal(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS", ("consents[0].kind",))


async def test_whom_she_brought_is_listed_with_the_number_of_all(town: Town, anna: Person) -> None:
    code = (await town.circle.users.GetMe(pb.GetMeRequest(), metadata=anna.metadata)).user.referral_code
    for number in range(3):
        await town.circle.sign_in(f"+7999000001{number}", referral_code=code)
    names: list[str] = []
    page = pb.ListMyReferralsResponse(next_page_token="")
    while True:
        request = pb.ListMyReferralsRequest(page_size=2, page_token=page.next_page_token)
        page = await town.circle.users.ListMyReferrals(request, metadata=anna.metadata)
        names += [referral.display_name for referral in page.referrals]
        if not page.next_page_token:
            break
    assert (names, page.total_count) == ([""] * 3, 3)
