"""The steps of the scenario in which the network, a certificate or a clock fails; `steps.py` has the others.

As those they stand here once, for both clients.
"""

import time
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from svoykrug.purchases.v1.purchases_service_pb2 import (
    BatchRecordPurchasesRequest,
    ListMyPurchasesRequest,
    RecordPurchaseRequest,
)

from svoykrug_client import Client, MemoryTokenStore, StoredSession, errors, items
from tests.clients import certificates
from tests.clients.asynchronous import block, together, until
from tests.clients.bad_network import BadNetwork, bad_network
from tests.clients.deadlines import ends_at_its_deadline, not_late
from tests.clients.steps import ME, Scenario
from tests.clients.wrong_clock import wrong_clock

LOST = (errors.ConnectionLost, errors.DeadlineExceeded)


class BadDays(Scenario):
    """The steps after those of `Scenario`."""

    async def aeroplane_mode(self) -> None:
        request = self._purchase("aeroplane", 1)
        async with self._far() as (network, till, phone, store):
            before = store.load()
            assert before is not None
            network.stalled = True
            with ends_at_its_deadline(1.0, *LOST):
                await till.purchases.RecordPurchase(request, timeout=1.0)
            network.away = True
            # An application that is started in the air has no token yet.
            cold = self._client(network.target, token_store=store)
            for client in (phone, cold):
                with ends_at_its_deadline(1.0, *LOST):
                    await client.users.GetMe(ME, timeout=1.0)
            self._met("calls_end")
            assert _token_of(store.load()) == before.refresh_token
            network.stalled = network.away = False
            network.end_connections()
            for client in (phone, cold):
                assert (await self._answer(client.users.GetMe, ME)).user.id == before.user_id
            self._met("session_stays")
            await self._answer(till.purchases.RecordPurchase, request)
            await self._counts_once(till, request)
            await cold.close()

    async def expired_certificate(self) -> None:
        store = MemoryTokenStore()
        signed_in = await self._sign_in_boris(self._client(token_store=store))
        with TemporaryDirectory() as name:
            folder = Path(name)
            certificates.write(folder)
            with bad_network(self._server.target, folder) as network:
                authority = (folder / "authority.pem").read_bytes()
                client = Client(network.target, root_certificates_pem=authority, token_store=store)
                with ends_at_its_deadline(1.0, *LOST):
                    await client.users.GetMe(ME, timeout=1.0)
                assert _token_of(store.load()) == signed_in.tokens.refresh_token
                self._met("call_ends")
                network.show("valid")
                assert (await self._answer(client.users.GetMe, ME)).user.id == signed_in.user_id
                self._met("goes_on_when_valid")
                await client.close()

    async def wrong_clock(self) -> None:
        batch = BatchRecordPurchasesRequest(business_id=self._business_id, purchases=[self._receipt("wrong-clock", 1)])
        for minutes in (-5, 5):
            with wrong_clock(timedelta(minutes=minutes)):
                refreshes = self._store.refreshes
                started = self._client(token_store=self._store)
                for _ in range(3):
                    assert (await self._me(started)).id == self._anna_id
                assert self._store.refreshes == refreshes + 1
                service = self._client(service_key=self._key)
                answer = await service.purchases.BatchRecordPurchases(batch)
                assert answer.recorded_count + answer.duplicate_count == 1
        self._met("person_stays_signed_in")
        self._met("service_signs_in")

    async def half_open_connection(self) -> None:
        request = self._purchase("half-open", 1)
        async with self._far() as (network, till, phone, store):
            before = store.load()
            assert before is not None
            network.forget_connections()
            begin = time.monotonic()
            with ends_at_its_deadline(1.0, *LOST):
                await till.purchases.RecordPurchase(request, timeout=1.0)
            with ends_at_its_deadline(1.0, *LOST):
                await phone.users.GetMe(ME, timeout=1.0)
            _, me = await together(
                lambda: self._answer(till.purchases.RecordPurchase, request),
                lambda: self._answer(phone.users.GetMe, ME),
            )
            assert time.monotonic() - begin < 60
            self._met("calls_end")
            assert me.user.id == before.user_id
            assert store.load() == before
            self._met("same_session")
            await self._counts_once(till, request)

    @block
    async def _far(self) -> AsyncIterator[tuple[BadNetwork, Client, Client, MemoryTokenStore]]:
        """Gives a till and a phone behind a network, both in the middle of their work, and the phone's store."""
        store = MemoryTokenStore()
        await self._sign_in_boris(self._client(token_store=store))
        with bad_network(self._server.target) as network:
            till = self._client(network.target, service_key=self._key)
            phone = self._client(network.target, token_store=store)
            await till.purchases.RecordPurchase(self._purchase("far", 0))
            await self._me(phone)
            yield network, till, phone, store
            for client in (till, phone):
                await client.close()

    def _purchase(self, name: str, number: int) -> RecordPurchaseRequest:
        return RecordPurchaseRequest(business_id=self._business_id, purchase=self._receipt(name, number))

    async def _answer(self, method: Any, request: Any) -> Any:
        """Calls until there is an answer, for a minute at most; every call before is a lost one, and ends in time."""
        answers = []

        async def answered() -> bool:
            with suppress(*LOST), not_late(5.0):
                answers.append(await method(request, timeout=5.0))
            return bool(answers)

        await until(answered, 60)
        return answers[0]

    async def _counts_once(self, till: Client, request: RecordPurchaseRequest) -> None:
        """Records a purchase that was recorded once more, and looks for it in her list."""
        assert (await till.purchases.RecordPurchase(request)).duplicate
        listed = items(self._anna.purchases.ListMyPurchases, ListMyPurchasesRequest(), lambda page: page.purchases)
        ids = [purchase.external_id async for purchase in listed]
        assert ids.count(request.purchase.external_id) == 1
        self._met("purchase_counts_once")


def _token_of(session: StoredSession | None) -> str:
    assert session is not None
    return session.refresh_token
