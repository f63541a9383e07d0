"""Asks providers what became of the messages they took, until they have said the last word or a day has passed."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from svoykrug_server.auth.repository import sms_deliveries as repository
from svoykrug_server.auth.sms.metrics import SmsMetrics
from svoykrug_server.auth.sms.model import Delivery, DeliveryReporter, DeliveryState, Fault, ProviderFailed, TakenSms
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import StoreUnavailable
from svoykrug_server.storage.postgres import Postgres

log = structlog.get_logger(__name__)

STATUS_WAITS = (
    timedelta(seconds=10),
    timedelta(seconds=30),
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
)
"""The waits before a provider is asked about a message for the first, second, ... time; the last one repeats."""

LONGEST_QUEST = timedelta(days=1)
"""How long after a provider took a message it is asked about it."""

UNKNOWN = Delivery(DeliveryState.UNKNOWN)


def status_time(now: datetime, status_check_count: int) -> datetime:
    """Returns when a provider is asked about a message next.

    Args:
        now: The present instant; aware.
        status_check_count: How often it was asked.
    """
    return now + STATUS_WAITS[min(status_check_count, len(STATUS_WAITS) - 1)]


@dataclass(frozen=True, slots=True)
class ReceiptRules:
    """How providers are asked.

    Attributes:
        poll: How often it is looked for messages to ask about.
        lease: How long a question may take before another server asks.
        batch: How many messages are taken at a time.
    """

    poll: timedelta = timedelta(seconds=2)
    lease: timedelta = timedelta(minutes=2)
    batch: int = 200


class DeliveryReceipts:
    """Keeps what providers say of delivery.

    Args:
        postgres: Where messages are kept.
        reporters: The providers that say so, by name.
        metrics: Counts deliveries.
        clock: Tells the time.
        rules: How they are asked.
    """

    def __init__(
        self,
        postgres: Postgres,
        reporters: Mapping[str, DeliveryReporter],
        metrics: SmsMetrics,
        clock: Clock,
        rules: ReceiptRules,
    ) -> None:
        self._postgres = postgres
        self._reporters = reporters
        self._metrics = metrics
        self._clock = clock
        self._rules = rules

    async def run(self) -> None:
        """Asks until cancelled; while Postgres is away it waits. Where no provider reports it returns at once."""
        while self._reporters:
            asked = 0
            try:
                asked = await self.ask_due()
            except* StoreUnavailable:
                log.warning("sms.receipts_unavailable")
            if not asked:
                await asyncio.sleep(self._rules.poll.total_seconds())

    async def ask_due(self) -> int:
        """Asks about each message that is due, the providers side by side, and returns how many there were."""
        now = self._clock.now()
        async with self._postgres.transaction() as tx:
            due = await repository.claim(tx, list(self._reporters), now, now + self._rules.lease, self._rules.batch)
        by_provider: dict[str, list[TakenSms]] = defaultdict(list)
        for message in due:
            by_provider[message.provider].append(message)
        async with asyncio.TaskGroup() as asking:
            for name, messages in by_provider.items():
                asking.create_task(self._ask(self._reporters[name], messages))
        return len(due)

    async def _ask(self, reporter: DeliveryReporter, messages: Sequence[TakenSms]) -> None:
        """Asks one provider, until it turns out to be away: then the rest waits too."""
        away = False
        for some in _chunks(messages, reporter.most_messages):
            deliveries: Mapping[str, Delivery] = {}
            try:
                deliveries = {} if away else await reporter.report(some)
            except ProviderFailed as failure:
                away = failure.fault is Fault.PASSING
                log.warning("sms.not_reported", provider=some[0].provider, kind=failure.kind)
            await self._record(some, deliveries)

    async def _record(self, messages: Sequence[TakenSms], deliveries: Mapping[str, Delivery]) -> None:
        now = self._clock.now()
        settled = [(sms, self._settled(sms, deliveries.get(sms.provider_message_id), now)) for sms in messages]
        async with self._postgres.transaction() as tx:
            for sms, (delivery, next_status_time) in settled:
                await repository.record(tx, sms.message_id, delivery, now, next_status_time)
        for sms, (delivery, next_status_time) in settled:
            if delivery is not None and next_status_time is None:
                took = (delivery.event_time or now) - sms.create_time
                self._metrics.ended(sms.provider, delivery.state, took)

    def _settled(
        self, sms: TakenSms, delivery: Delivery | None, now: datetime
    ) -> tuple[Delivery | None, datetime | None]:
        """Returns what is known now, None where it is what was known before, and when to ask again, None: never."""
        if delivery is not None and delivery.state.is_final:
            return delivery, None
        if now >= sms.take_time + LONGEST_QUEST:
            return UNKNOWN, None
        return delivery, status_time(now, sms.status_check_count)


def _chunks(messages: Sequence[TakenSms], most: int) -> Iterator[Sequence[TakenSms]]:
    for start in range(0, len(messages), most):
        yield messages[start : start + most]
