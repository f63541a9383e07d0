"""Steady traffic of every kind by the real client, and what became of it: outcomes and gaps by method."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from uuid import uuid4

from google.protobuf.timestamp_pb2 import Timestamp
from svoykrug import errors
from svoykrug.analytics.v1.analytics_service_pb2 import (
    GetDashboardRequest,
    GetFreshnessRequest,
    WatchDashboardRequest,
)
from svoykrug.purchases.v1.purchases_service_pb2 import (
    ImportPurchasesRequest,
    NewPurchase,
    RecordPurchaseRequest,
    RefundPurchaseRequest,
)
from svoykrug.users.v1.user_pb2 import CONSENT_KIND_PERSONAL_DATA, CONSENT_KIND_TERMS, ConsentGrant
from svoykrug.users.v1.users_service_pb2 import GetMeRequest

from svoykrug_client import Client
from tests.waiting import until

ANALYTICS = frozenset({"GetDashboard", "GetFreshness", "WatchDashboard"})
AWAY = "WAREHOUSE_UNAVAILABLE and when"
BEING_REMADE = "RESULT_BEING_REMADE and when"
"""What analytics may answer while the warehouse is away, and while scores that it has lost are being made again."""
IMPORT_ROWS = 50
AMOUNT_MINOR, REFUND_MINOR = 1_000, 100
PAUSE_SECONDS = 0.05
_CONSENTS = [
    ConsentGrant(kind=kind, version="2026-11", granted=True)
    for kind in (CONSENT_KIND_TERMS, CONSENT_KIND_PERSONAL_DATA)
]


@dataclass(slots=True)
class Fate:
    """What became of one method's calls.

    Attributes:
        outcomes: How many ended in which way: `OK`, or the refusal's reason, with ` and when` where it said when to
            repeat.
        longest_gap_seconds: The longest time between two good answers, from the first call to the last.
        last_answer: When the last good answer came, or calls began.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    longest_gap_seconds: float = 0.0
    last_answer: float = field(default_factory=time.monotonic)

    def answered(self) -> None:
        """Notes a good answer."""
        self.outcomes["OK"] += 1
        self.end_gap()

    def refused(self, error: errors.SvoyKrugError) -> None:
        """Notes a refusal."""
        self.outcomes[f"{error.reason} and when" if error.retry_after else error.reason] += 1

    def end_gap(self) -> None:
        """Ends the time without a good answer."""
        now = time.monotonic()
        self.longest_gap_seconds = max(self.longest_gap_seconds, now - self.last_answer)
        self.last_answer = now


class Traffic:
    """Calls of every kind side by side, each method's one after the other.

    Args:
        member: A member who is signed in.
        program: A service account's client, which may write purchases and see dashboards.
        business_id: Where members buy.
        phone: Whose purchases they are.
    """

    def __init__(self, member: Client, program: Client, business_id: str, phone: str) -> None:
        self._member, self._program = member, program
        self._business_id, self._phone = business_id, phone
        self._numbers, self._run = count(), uuid4().hex[:8]
        self.fates: dict[str, Fate] = {}
        self.rows_written = 0
        """How many purchases and refunds the server said it has written."""

    @property
    def failures(self) -> dict[tuple[str, str], int]:
        """What failed and may not: anything but analytics that is away and says when to come back."""
        return {
            (method, outcome): calls
            for method, fate in self.fates.items()
            for outcome, calls in fate.outcomes.items()
            if outcome != "OK" and not (method in ANALYTICS and outcome in (AWAY, BEING_REMADE))
        }

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Makes calls for the length of the block, then awaits the last answers."""
        stop = asyncio.Event()
        calls: dict[str, Callable[[], Awaitable[None]]] = {
            "GetMe": self._get_me,
            "RecordPurchase": self._record,
            "RefundPurchase": self._record_and_refund,
            "ImportPurchases": self._import,
            "GetDashboard": self._dashboard,
            "GetFreshness": self._freshness,
        }
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self._watch(stop))
            for method, call in calls.items():
                tasks.create_task(self._repeat(method, call, stop))
            try:
                yield
            finally:
                stop.set()
                watching.cancel()
        for fate in self.fates.values():
            fate.end_gap()

    async def _repeat(self, method: str, call: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
        fate = self.fates[method] = Fate()
        while not stop.is_set():
            try:
                await call()
            except errors.SvoyKrugError as error:
                fate.refused(error)
            else:
                fate.answered()
            await _pause(stop)

    async def _watch(self, stop: asyncio.Event) -> None:
        fate = self.fates["WatchDashboard"] = Fate()
        while True:
            try:
                async for _ in self._program.analytics.WatchDashboard(
                    WatchDashboardRequest(business_id=self._business_id)
                ):
                    fate.answered()
            except errors.SvoyKrugError as error:
                fate.refused(error)
            await _pause(stop)

    async def _get_me(self) -> None:
        await self._member.users.GetMe(GetMeRequest())

    async def _record(self) -> None:
        request = RecordPurchaseRequest(business_id=self._business_id, purchase=self._purchase())
        await self._program.purchases.RecordPurchase(request)
        self.rows_written += 1

    async def _record_and_refund(self) -> None:
        bought = self._purchase()
        await self._program.purchases.RecordPurchase(
            RecordPurchaseRequest(business_id=self._business_id, purchase=bought)
        )
        self.rows_written += 1
        await self._program.purchases.RefundPurchase(
            RefundPurchaseRequest(
                business_id=self._business_id,
                purchase_external_id=bought.external_id,
                external_id=f"back-{bought.external_id}",
                amount_minor=REFUND_MINOR,
                refund_time=bought.purchase_time,
            )
        )
        self.rows_written += 1

    async def _import(self) -> None:
        rows = [self._purchase() for _ in range(IMPORT_ROWS)]
        request = ImportPurchasesRequest(business_id=self._business_id, purchases=rows)
        answer = await self._program.purchases.ImportPurchases(iter([request]))
        assert answer.recorded_count == IMPORT_ROWS
        self.rows_written += IMPORT_ROWS

    async def _dashboard(self) -> None:
        await self._program.analytics.GetDashboard(GetDashboardRequest(business_id=self._business_id))

    async def _freshness(self) -> None:
        await self._program.analytics.GetFreshness(GetFreshnessRequest())

    def _purchase(self) -> NewPurchase:
        moment = Timestamp()
        moment.FromDatetime(datetime.now(UTC))
        return NewPurchase(
            external_id=f"{self._run}-{next(self._numbers)}",
            phone=self._phone,
            amount_minor=AMOUNT_MINOR,
            purchase_time=moment,
        )


async def signed_in(client: Client, phone: str, console: Path) -> None:
    """Signs a person in with the code that the server shows on its console."""
    challenge = await client.start_sign_in(phone)
    found: list[str] = []

    def is_shown() -> bool:
        found[:] = re.findall(r"@\S+ #(\d{6})", console.read_text())
        return bool(found)

    await until(is_shown)
    await client.complete_sign_in(challenge, found[-1], consents=_CONSENTS)


async def _pause(stop: asyncio.Event) -> None:
    """Waits a moment, or until the end."""
    with suppress(TimeoutError):
        async with asyncio.timeout(PAUSE_SECONDS):
            await stop.wait()
