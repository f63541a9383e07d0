"""The whole way of an SMS on a real Postgres: queue, worker, providers that listen on this machine, receipts, trace."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from prometheus_client import CollectorRegistry

from svoykrug_server.auth.codes import Codes
from svoykrug_server.auth.sms.chain import ChainRules, SmsChain
from svoykrug_server.auth.sms.queue import SmsQueue
from svoykrug_server.auth.sms.receipts import DeliveryReceipts, ReceiptRules
from svoykrug_server.auth.sms.routes import SmsRoutes, sms_routes
from svoykrug_server.auth.sms.trace import CodeDeliveryTrace
from svoykrug_server.auth.sms.worker import SmsRules, SmsWorker
from svoykrug_server.kit.clock import ManualClock
from svoykrug_server.storage.postgres import Postgres
from tests.auth.sms_providers import API_KEY, SmscProvider, SmsRuProvider, listening
from tests.auth.world import PHONE, random_secrets
from tests.conftest import isolated_settings
from tests.users import people


@dataclass(slots=True)
class SmsWorld:
    """SMS of one server, sent by SMS.ru and, where that fails, by SMSC."""

    postgres: Postgres
    url: str
    clock: ManualClock
    registry: CollectorRegistry
    smsru: SmsRuProvider
    smsc: SmscProvider
    routes: SmsRoutes
    queue: SmsQueue
    worker: SmsWorker
    receipts: DeliveryReceipts
    trace: CodeDeliveryTrace

    async def put(self, phone: str = PHONE) -> UUID:
        """Queues a warning, and returns the id of the session it tells of."""
        session_id = uuid4()
        async with self.postgres.transaction() as tx:
            await self.queue.put_warning(tx, session_id, phone, "ru", self.clock.now())
        self.queue.wake()
        return session_id

    async def sent(self, phone: str = PHONE) -> None:
        """Queues a warning and sends it."""
        await self.put(phone)
        assert await self.worker.send_due() == 1

    async def pass_by(self, seconds: float) -> None:
        """Lets time pass, then asks about what is due."""
        self.clock.advance(timedelta(seconds=seconds))
        await self.receipts.ask_due()

    async def read(self, query: str) -> list[asyncpg.Record]:
        """Reads rows by a connection that has nothing to do with the server's."""
        connection = await asyncpg.connect(self.url)
        try:
            return await connection.fetch(query)
        finally:
            await connection.close()

    async def message(self) -> asyncpg.Record:
        """Returns the only message."""
        (row,) = await self.read("SELECT * FROM sms_messages")
        return row

    async def attempts(self) -> list[tuple[str, str]]:
        """Returns who was asked, and what came of it."""
        rows = await self.read("SELECT provider, outcome FROM sms_attempts ORDER BY attempt_id")
        return [(row["provider"], row["outcome"]) for row in rows]

    def figure(self, name: str, **labels: str) -> float | None:
        """Returns a metric."""
        return self.registry.get_sample_value(name, labels)


@asynccontextmanager
async def sms_world_on(postgres: Postgres, url: str, clock: ManualClock) -> AsyncIterator[SmsWorld]:
    """Gives a world on a fresh Postgres."""
    smsru, smsc, registry, queue = SmsRuProvider(), SmscProvider(), CollectorRegistry(), SmsQueue()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(listening(smsru))
        await stack.enter_async_context(listening(smsc))
        routes = sms_routes(isolated_settings(**configured(smsru, smsc)), registry)
        chain = SmsChain(routes.senders, routes.metrics, clock, ChainRules())
        codes, rules, accounts = Codes(random_secrets()), SmsRules("svoykrug.localhost"), people.accounts()
        yield SmsWorld(
            postgres=postgres,
            url=url,
            clock=clock,
            registry=registry,
            smsru=smsru,
            smsc=smsc,
            routes=routes,
            queue=queue,
            worker=SmsWorker(postgres, queue, chain, routes.reporters.keys(), codes, clock, rules),
            receipts=DeliveryReceipts(postgres, routes.reporters, routes.metrics, clock, ReceiptRules()),
            trace=CodeDeliveryTrace(postgres, accounts, clock),
        )


def configured(smsru: SmsRuProvider, smsc: SmscProvider) -> dict[str, Any]:
    """Returns the settings of a server that sends by both."""
    return {
        "sms_providers": ["smsru", "smsc"],
        "sms_timeout_seconds": 2.0,
        "smsru_api_id": API_KEY,
        "smsru_url": smsru.url,
        "smsc_api_key": API_KEY,
        "smsc_url": smsc.url,
    }
