"""The scenario that every client runs (`clients/scenario.json`), for the Python client.

The steps stand here once, for the asynchronous client; `blocking.py` reads the same text without `async` and `await`
for the synchronous one. What the two import from stands there.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from svoykrug.analytics.v1.analytics_service_pb2 import WatchDashboardRequest
from svoykrug.auth.v1.auth_service_pb2 import Challenge, CompleteSignInResponse, StartSignInRequest
from svoykrug.businesses.v1.business_pb2 import CATEGORY_BEAUTY
from svoykrug.businesses.v1.businesses_service_pb2 import CreateBusinessRequest
from svoykrug.purchases.v1.purchases_service_pb2 import (
    ListMyPurchasesRequest,
    NewPurchase,
    RecordPurchaseRequest,
    RefundPurchaseRequest,
)
from svoykrug.users.v1.user_pb2 import ROLE_ADMIN, ROLE_MEMBER, User
from svoykrug.users.v1.users_service_pb2 import GetMeRequest, SetUserRolesRequest, UpdateMeRequest

from svoykrug_client import Client, MemoryTokenStore, ServiceKey, StoredSession, TokenStore, errors, items
from tests.clients.asynchronous import CANCELLED, together, until
from tests.clients.cutting_proxy import cutting_proxy, silent_server
from tests.clients.deadlines import ends_at_its_deadline
from tests.clients.world import CONSENTS, DEMO_CODE, CountingStore, Phones, World

ME = GetMeRequest()
NOBODY = "00000000-0000-4000-8000-000000000000"


class BrokenFileError(Exception):
    """The file ends in mid-row."""


class Scenario:
    """The steps, in their order; each stands on those before it.

    Args:
        world: The server and who is known there.
        phones: Those of this run.
        met: Is told of each expectation of a step that has held, by its id in clients/scenario.json.
    """

    def __init__(self, world: World, phones: Phones, met: Callable[[str], None]) -> None:
        self._server, self._phones, self._met = world.server, phones, met
        self._clients: list[Client] = []
        self._store = CountingStore()
        self._anna = self._client(token_store=self._store)
        self._admin = self._client(token_store=world.admin_session)
        self._key = ServiceKey.from_file(world.key_file)
        self._service = self._client(service_key=self._key)
        self._anna_id = self._business_id = self._purchase_id = ""
        self._yesterday = _days_ago(1)

    async def sign_in(self) -> None:
        challenge, code = await self._challenge(self._anna, self._phones.anna)
        answer = await self._anna.complete_sign_in(challenge, code, consents=CONSENTS)
        self._anna_id = answer.user_id
        me = await self._me(self._anna)
        assert (me.id, me.phone) == (answer.user_id, self._phones.anna)
        self._met("is_herself")
        assert self._store.load() == StoredSession(answer.user_id, answer.tokens.refresh_token)
        self._met("session_stored")

    async def refresh_under_way(self) -> None:
        roles = SetUserRolesRequest(user_id=self._anna_id, roles=[ROLE_MEMBER, ROLE_ADMIN])
        await self._admin.users.SetUserRoles(roles)

        async def refused() -> bool:
            answers = await together(lambda: self._anna.users.GetMe(ME), lambda: self._anna.users.GetMe(ME))
            assert [answer.user.id for answer in answers] == [self._anna_id] * 2
            return self._store.refreshes > 0

        await until(refused, 60)
        self._met("every_call_answered")
        assert self._store.refreshes == 1
        self._met("one_refresh")

    async def profile_mask(self) -> None:
        before = await self._me(self._anna)
        values = User(display_name="Анна", locale="en", email="anna@example.com")
        request = UpdateMeRequest(user=values, update_mask=FieldMask(paths=["display_name"]))
        after = (await self._anna.users.UpdateMe(request)).user
        assert after.display_name == "Анна"
        self._met("display_name_new")
        for user in (before, after):
            for changed in ("display_name", "etag", "update_time"):
                user.ClearField(changed)
        assert after == before
        self._met("other_fields_kept")

    async def stale_etag(self) -> None:
        etag = (await self._me(self._anna)).etag
        mask = FieldMask(paths=["display_name"])
        first = UpdateMeRequest(user=User(display_name="Анна Первая", etag=etag), update_mask=mask)
        await self._anna.users.UpdateMe(first)
        second = UpdateMeRequest(user=User(display_name="Анна Вторая", etag=etag), update_mask=mask)
        with pytest.raises(errors.StaleEtag) as refused:
            await self._anna.users.UpdateMe(second)
        assert refused.value.code == "ABORTED"
        self._met("second_refused")
        assert (await self._me(self._anna)).display_name == "Анна Первая"
        self._met("first_counts")

    async def record_purchase(self) -> None:
        creation = CreateBusinessRequest(name=f"Салон {uuid4()}", category=CATEGORY_BEAUTY, request_id=str(uuid4()))
        self._business_id = (await self._admin.businesses.CreateBusiness(creation)).business.id
        request = RecordPurchaseRequest(business_id=self._business_id, purchase=self._receipt("receipt", 1))
        first = await self._service.purchases.RecordPurchase(request)
        again = await self._service.purchases.RecordPurchase(request)
        assert not first.duplicate
        self._met("first_is_new")
        assert again.duplicate
        assert again.purchase.id == first.purchase.id
        self._met("second_is_duplicate")
        self._purchase_id = first.purchase.id

    async def refund_purchase(self) -> None:
        request = RefundPurchaseRequest(
            business_id=self._business_id,
            purchase_id=self._purchase_id,
            external_id="refund-1",
            amount_minor=40_00,
            refund_time=_days_ago(0),
        )
        assert (await self._service.purchases.RefundPurchase(request)).purchase.refunded_minor == 40_00
        self._met("first_counts")
        request.external_id, request.amount_minor = "refund-2", 90_00
        with pytest.raises(errors.RefundExceedsPurchase) as refused:
            await self._service.purchases.RefundPurchase(request)
        assert refused.value.metadata["refundable_minor"] == "6000"
        self._met("second_refused")

    async def import_stream(self) -> None:
        good = [self._receipt("import", number) for number in range(2_500)]
        bad = NewPurchase(
            phone=self._phones.stranger, external_id="nobody", amount_minor=1, purchase_time=self._yesterday
        )
        first = await self._service.import_purchases(self._business_id, [*good, bad])
        assert (first.recorded_count, first.rejected_count) == (2_500, 1)
        assert [row.row_number for row in first.rejected_rows] == [2_500]
        self._met("one_row_rejected")
        again = await self._service.import_purchases(self._business_id, good)
        assert (again.recorded_count, again.duplicate_count) == (0, 2_500)
        self._met("all_duplicates")
        with pytest.raises(errors.NotFoundError):
            await self._service.import_purchases(NOBODY, good)
        self._met("no_business_refused")

        def broken() -> Iterator[NewPurchase]:
            yield good[0]
            raise BrokenFileError

        with pytest.raises(BrokenFileError):
            await self._service.import_purchases(self._business_id, broken)
        self._met("broken_rows_raise")

    async def list_pages(self) -> None:
        request = ListMyPurchasesRequest(page_size=500)
        listed = items(self._anna.purchases.ListMyPurchases, request, lambda page: page.purchases)
        ids = [purchase.external_id async for purchase in listed]
        assert sorted(ids) == sorted(["receipt-1", *(f"import-{number}" for number in range(2_500))])
        self._met("each_once")

    async def watch_and_cancel(self) -> None:
        watch, answers = self._watch()
        assert (await anext(answers)).HasField("dashboard")
        self._met("holds_a_dashboard")
        watch.cancel()
        with pytest.raises(CANCELLED):
            await anext(answers)
        self._met("ends_as_cancelled")

    async def typed_errors(self) -> None:
        nobody = self._client()
        with pytest.raises(errors.TokenMissing) as missing:
            await nobody.users.GetMe(ME)
        assert missing.value.text == "Please sign in."
        assert missing.value.request_id
        self._met("token_missing")
        with pytest.raises(errors.InvalidFields) as bad:
            await nobody.start_sign_in("12345")
        assert set(bad.value.field_violations) == {"phone"}
        self._met("invalid_fields")
        challenge, right = await self._challenge(nobody, self._phones.stranger)
        with pytest.raises(errors.ResendTooSoon) as soon:
            await nobody.start_sign_in(self._phones.stranger)
        assert soon.value.retry_after is not None
        self._met("resend_too_soon")
        with pytest.raises(errors.CodeWrong) as wrong:
            await nobody.complete_sign_in(challenge, "000001" if right == "000000" else "000000")
        assert wrong.value.metadata["guesses_left"] == "4"
        self._met("code_wrong")
        # She is an admin, and roles are given by superadmins.
        roles = SetUserRolesRequest(user_id=self._anna_id, roles=[ROLE_MEMBER])
        with pytest.raises(errors.PermissionDeniedError):
            await self._anna.users.SetUserRoles(roles)
        self._met("permission_denied")

    async def deadline(self) -> None:
        store = MemoryTokenStore()
        store.save(StoredSession(self._anna_id, "a refresh token"))
        with silent_server() as target:
            client = self._client(target, token_store=store)
            with ends_at_its_deadline(0.3, errors.DeadlineExceeded):
                await client.auth.StartSignIn(StartSignInRequest(phone=self._phones.anna), timeout=0.3)
            with ends_at_its_deadline(0.3, errors.DeadlineExceeded):
                await client.users.GetMe(ME, timeout=0.3)
            self._met("ends_in_time")
            await client.close()
        kept = store.load()
        assert kept is not None
        assert kept.refresh_token == "a refresh token"
        self._met("session_stays")

    async def server_restart_in_mid_call(self) -> None:
        _, answers = self._watch()
        await anext(answers)
        before = self._store.load()
        attempts: list[int] = []

        def rows() -> Iterator[NewPurchase]:
            attempts.append(len(attempts))
            for number in range(5_000):
                if (number, len(attempts)) == (4_500, 1):
                    self._server.restart()
                yield self._receipt("restart", number)

        answer = await self._service.import_purchases(self._business_id, rows)
        assert answer.recorded_count + answer.duplicate_count == 5_000
        assert len(attempts) > 1
        with pytest.raises(errors.SvoyKrugError):
            await self._drain(answers)
        self._met("watch_ends_typed")
        assert (await self._me(self._anna)).id == self._anna_id
        assert self._store.load() == before
        self._met("same_session")
        again = await self._service.import_purchases(self._business_id, rows)
        assert again.duplicate_count == 5_000
        self._met("import_whole")

    async def lost_refresh_answer(self) -> None:
        store = MemoryTokenStore()
        signed_in = await self._sign_in_boris(self._client(token_store=store))
        with cutting_proxy(self._server.target) as network:
            client = self._client(network.target, token_store=store)
            network.cutting = True
            with pytest.raises(errors.ConnectionLost):
                await client.users.GetMe(ME)
            assert network.cuts > 1
            self._met("lost_connection")
            kept = store.load()
            assert kept is not None
            assert kept.refresh_token == signed_in.tokens.refresh_token
            assert kept.request_id
            self._met("session_and_request_id_kept")
            network.cutting = False
            assert (await self._me(client)).id == signed_in.user_id
            moved = store.load()
            assert moved is not None
            assert moved.refresh_token != kept.refresh_token
            assert not moved.request_id
            self._met("session_moved_on")
            await client.close()

    async def two_sign_ins(self) -> None:
        phone, tablet = self._client(), self._client()
        first = await self._sign_in_boris(phone)
        second = await self._sign_in_boris(tablet)
        assert first.user_id == second.user_id
        await tablet.sign_out()
        with pytest.raises(errors.TokenMissing):
            await tablet.users.GetMe(ME)
        self._met("second_signed_out")
        assert (await self._me(phone)).id == first.user_id
        self._met("first_goes_on")

    async def close(self) -> None:
        """Closes every client; those that are closed already stay so."""
        for client in self._clients:
            await client.close()

    def _client(
        self, target: str = "", *, token_store: TokenStore | None = None, service_key: ServiceKey | None = None
    ) -> Client:
        """Returns a client in English, which is closed when the scenario is."""
        target = target or self._server.target
        client = Client(target, insecure=True, token_store=token_store, service_key=service_key, language="en")
        self._clients.append(client)
        return client

    async def _challenge(self, client: Client, phone: str) -> tuple[Challenge, str]:
        """Has a code sent to a phone, and returns the challenge and the code."""
        known = len(self._server.codes())
        challenge = await client.start_sign_in(phone)
        await until(lambda: len(self._server.codes()) > known, 60)
        return challenge, self._server.codes()[-1]

    async def _sign_in_boris(self, client: Client) -> CompleteSignInResponse:
        challenge = await client.start_sign_in(self._phones.boris)
        return await client.complete_sign_in(challenge, DEMO_CODE, consents=CONSENTS)

    async def _me(self, client: Client) -> User:
        return (await client.users.GetMe(ME)).user

    def _watch(self) -> tuple[Any, Any]:
        """Returns a watch of the dashboard, and its answers."""
        watch = self._service.analytics.WatchDashboard(WatchDashboardRequest(business_id=self._business_id))
        return watch, aiter(watch)

    async def _drain(self, answers: Any) -> None:
        while True:
            await anext(answers)

    def _receipt(self, kind: str, number: int) -> NewPurchase:
        """Returns a purchase of Anna's."""
        return NewPurchase(
            user_id=self._anna_id,
            external_id=f"{kind}-{number}",
            amount_minor=100_00,
            purchase_time=self._yesterday,
        )


def _days_ago(days: int) -> Timestamp:
    return Timestamp(seconds=int(time.time()) - 86_400 * days)
