"""The Python client against the whole server: nothing is staged here."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from svoykrug.analytics.v1.analytics_service_pb2 import CreateSnapshotRequest
from svoykrug.auth.v1.auth_admin_service_pb2 import (
    CreateServiceAccountRequest,
    DisableServiceAccountRequest,
    SetServiceAccountScopesRequest,
)
from svoykrug.businesses.v1.business_pb2 import CATEGORY_BEAUTY
from svoykrug.businesses.v1.businesses_service_pb2 import (
    CreateBusinessRequest,
    GetBusinessRequest,
    ListBusinessesRequest,
)
from svoykrug.operations.v1.operation_pb2 import OPERATION_STATE_SUCCEEDED
from svoykrug.purchases.v1.purchases_service_pb2 import NewPurchase
from svoykrug.users.v1.users_service_pb2 import BatchCreateUsersRequest, GetMeRequest, NewUser

from svoykrug_client import Client, FileTokenStore, MemoryTokenStore, StoredSession, errors, items, service_client
from svoykrug_client.service_key import ServiceKey
from svoykrug_server.auth import key_material
from svoykrug_server.auth.key_model import Algorithm
from svoykrug_server.storage.postgres import Postgres
from tests.e2e.circle import Circle
from tests.e2e.python_client import ADMIN_PHONE, ANNA_PHONE, create_service_account, grant_superadmin, sign_in
from tests.waiting import until

ME = GetMeRequest()
UNKNOWN = GetBusinessRequest(business_id=str(uuid4()))


@pytest.fixture
async def admin(circle: Circle, postgres: Postgres) -> AsyncIterator[Client]:
    """A client of the first superadmin."""
    await grant_superadmin(postgres)
    async with Client(circle.target, insecure=True, language="en") as client:
        await sign_in(client, circle, ADMIN_PHONE)
        yield client


@pytest.fixture
async def service(circle: Circle, postgres: Postgres, tmp_path: Path) -> AsyncIterator[Client]:
    """A client of a service account."""
    scopes = ("users.write", "purchases.write", "analytics.write", "operations.read")
    await create_service_account(postgres, tmp_path / "key.json", *scopes)
    async with service_client(circle.target, tmp_path / "key.json", insecure=True) as client:
        yield client


async def test_a_member_signs_in_reads_her_profile_and_signs_out(circle: Circle) -> None:
    store = MemoryTokenStore()
    async with Client(circle.target, insecure=True, token_store=store) as client:
        answer = await sign_in(client, circle, ANNA_PHONE)
        assert (await client.users.GetMe(ME)).user.id == answer.user_id
        await client.sign_out()
        assert store.load() is None
        with pytest.raises(errors.TokenMissing) as caught:
            await client.users.GetMe(ME)
        assert caught.value.text == "Пожалуйста, войдите."
        assert caught.value.request_id
    store.save(StoredSession(answer.user_id, answer.tokens.refresh_token))
    async with Client(circle.target, insecure=True, token_store=store) as thief:
        with pytest.raises(errors.SessionRevoked):
            await thief.users.GetMe(ME)


async def test_a_session_lives_on_in_its_file_from_process_to_process(circle: Circle, tmp_path: Path) -> None:
    store = FileTokenStore(tmp_path / "session.json")
    async with Client(circle.target, insecure=True, token_store=store) as client:
        await sign_in(client, circle, ANNA_PHONE)
    tokens = {(store.load() or StoredSession("", "")).refresh_token}
    for _ in range(3):
        async with Client(circle.target, insecure=True, token_store=store) as client:
            assert (await client.users.GetMe(ME)).user.phone == ANNA_PHONE
        tokens.add((store.load() or StoredSession("", "")).refresh_token)
    assert len(tokens) == 4


async def test_many_clients_that_share_a_file_and_start_at_once_all_stay_signed_in(
    circle: Circle, tmp_path: Path
) -> None:
    path = tmp_path / "session.json"
    async with Client(circle.target, insecure=True, token_store=FileTokenStore(path)) as client:
        await sign_in(client, circle, ANNA_PHONE)

    async def one_process() -> str:
        async with Client(circle.target, insecure=True, token_store=FileTokenStore(path)) as client:
            for _ in range(2):
                phone = (await client.users.GetMe(ME)).user.phone
        return phone

    for _ in range(3):
        assert set(await asyncio.gather(*(one_process() for _ in range(8)))) == {ANNA_PHONE}


async def test_a_refresh_repeated_after_its_answer_was_lost_keeps_her_signed_in(circle: Circle) -> None:
    store = MemoryTokenStore()
    async with Client(circle.target, insecure=True, token_store=store) as client:
        answer = await sign_in(client, circle, ANNA_PHONE)
    before = StoredSession(answer.user_id, answer.tokens.refresh_token, request_id=str(uuid4()))
    for _ in range(2):  # The first answer is lost: the process dies before it stores the next token.
        store.save(before)
        async with Client(circle.target, insecure=True, token_store=store) as client:
            assert (await client.users.GetMe(ME)).user.id == answer.user_id


async def test_a_wrong_code_says_how_many_guesses_are_left(circle: Circle) -> None:
    async with Client(circle.target, insecure=True, language="en") as client:
        challenge = await client.start_sign_in(ANNA_PHONE)
        with pytest.raises(errors.CodeWrong) as caught:
            await client.complete_sign_in(challenge, "000000")
        assert caught.value.metadata["guesses_left"] == "4"
        with pytest.raises(errors.ResendTooSoon) as soon:
            await client.start_sign_in(ANNA_PHONE)
        assert soon.value.retry_after is not None


async def test_a_bad_field_is_named_by_its_path(circle: Circle) -> None:
    async with Client(circle.target, insecure=True) as client:
        with pytest.raises(errors.InvalidFields) as caught:
            await client.start_sign_in("1")
    assert set(caught.value.field_violations) == {"phone"}


async def test_a_role_given_meanwhile_is_taken_up_by_a_silent_refresh(circle: Circle, postgres: Postgres) -> None:
    async with Client(circle.target, insecure=True) as client:
        await sign_in(client, circle, ADMIN_PHONE)

        async def is_admin() -> bool:
            try:
                await client.businesses.GetBusiness(UNKNOWN)
            except errors.PermissionDenied:
                return False
            except errors.NotFound:  # An admin is told the truth.
                return True
            return False

        assert not await is_admin()
        await grant_superadmin(postgres)
        await until(is_admin)


async def test_a_service_imports_purchases_and_waits_for_a_snapshot(admin: Client, service: Client) -> None:
    created = await service.users.BatchCreateUsers(BatchCreateUsersRequest(users=[NewUser(phone=ANNA_PHONE)]))
    creation = CreateBusinessRequest(name="Салон", category=CATEGORY_BEAUTY, request_id=str(uuid4()))
    business = (await admin.businesses.CreateBusiness(creation)).business
    listed = items(admin.businesses.ListBusinesses, ListBusinessesRequest(), lambda page: page.businesses)
    assert [row.id async for row in listed] == [business.id]
    time = Timestamp()
    time.FromDatetime(datetime(2026, 6, 1, 12, tzinfo=UTC))
    rows = [
        NewPurchase(user_id=created.results[0].user_id, external_id=str(number), amount_minor=100, purchase_time=time)
        for number in range(2_500)
    ]
    rows.append(NewPurchase(phone="+79990000003", external_id="nobody", amount_minor=100, purchase_time=time))
    first = await service.import_purchases(business.id, rows)
    assert (first.recorded_count, first.duplicate_count, first.rejected_count) == (2_500, 0, 1)
    assert [row.row_number for row in first.rejected_rows] == [2_500]
    again = await service.import_purchases(business.id, rows)
    assert (again.recorded_count, again.duplicate_count) == (0, 2_500)
    assert (await service.import_purchases(business.id, [])).received_count == 0
    started = await service.analytics.CreateSnapshot(CreateSnapshotRequest(request_id=str(uuid4())))
    done = await service.wait_for(started.operation)
    assert done.state == OPERATION_STATE_SUCCEEDED
    assert done.result.snapshot_id


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
async def test_a_service_goes_on_with_the_scopes_it_is_given_until_it_is_disabled(
    circle: Circle, admin: Client, algorithm: Algorithm
) -> None:
    private_key = key_material.generate(algorithm)
    creation = CreateServiceAccountRequest(
        name="console",
        scopes=["users.read"],
        public_key_pem=key_material.public_to_pem(private_key.public_key()).decode(),
        request_id=str(uuid4()),
    )
    account = (await admin.auth_admin.CreateServiceAccount(creation)).service_account
    pem = key_material.private_to_pem(private_key).decode()
    key = ServiceKey(account.id, account.keys[0].kid, "svoykrug", pem)
    members = BatchCreateUsersRequest(users=[NewUser(phone=ANNA_PHONE)])
    async with Client(circle.target, insecure=True, service_key=key) as client:
        with pytest.raises(errors.PermissionDenied):
            await client.users.BatchCreateUsers(members)
        scopes = SetServiceAccountScopesRequest(service_account_id=account.id, scopes=["users.write"])
        await admin.auth_admin.SetServiceAccountScopes(scopes)
        await client.users.BatchCreateUsers(members)
        await admin.auth_admin.DisableServiceAccount(DisableServiceAccountRequest(service_account_id=account.id))
        with pytest.raises(errors.SvoyKrugError) as refused:
            await client.users.BatchCreateUsers(members)
        assert refused.value.reason in {"SCOPE_DENIED", "SESSION_REVOKED"}


async def test_a_service_may_not_do_what_its_scopes_leave_out(service: Client) -> None:
    with pytest.raises(errors.PermissionDenied):
        await service.users.GetMe(ME)


async def test_an_import_into_no_business_is_refused_at_once(service: Client) -> None:
    with pytest.raises(errors.NotFound):
        await service.import_purchases(str(uuid4()), [NewPurchase(external_id="1")])
