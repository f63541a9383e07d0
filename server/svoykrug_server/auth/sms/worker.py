"""The worker that empties the queue of SMS.

A message is leased to one worker for a while. Should that worker die, the message is due again when the lease ends, and
goes out with the same idempotency key. Messages go out side by side, so that one that a provider keeps waiting holds up
no other.
"""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from svoykrug_server.auth.codes import Codes
from svoykrug_server.auth.repository import sms_messages as repository
from svoykrug_server.auth.sms.chain import Handover, SmsChain
from svoykrug_server.auth.sms.model import CODES, OutgoingSms, QueuedSms
from svoykrug_server.auth.sms.queue import SmsQueue
from svoykrug_server.auth.sms.receipts import status_time
from svoykrug_server.auth.sms.texts import text_of
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import StoreUnavailable
from svoykrug_server.kit.failpoints import failpoint
from svoykrug_server.storage.postgres import Postgres

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SmsRules:
    """How messages are sent; each number is a setting, or follows from some.

    Attributes:
        autofill_host: The host of the app or site that phones fill a code in for.
        attempts: How many rounds of attempts a message gets.
        first_backoff: The wait after the first round that failed; it doubles with each.
        lease: How long a round may take before another worker tries.
        poll: How often the queue is looked at when nothing wakes the worker.
        at_once: How many messages are on their way at a time.
        finish: How long those on their way may take at a stop.
    """

    autofill_host: str
    attempts: int = 6
    first_backoff: timedelta = timedelta(seconds=1)
    lease: timedelta = timedelta(seconds=30)
    poll: timedelta = timedelta(seconds=1)
    at_once: int = 50
    finish: timedelta = timedelta(seconds=5)


class SmsWorker:
    """Sends what is due.

    Args:
        postgres: Where the queue is kept.
        queue: Wakes the worker.
        chain: Hands messages to providers.
        reporting: The providers that say later what became of a message.
        codes: Derives codes.
        clock: Tells the time.
        rules: How messages are sent.
    """

    def __init__(
        self,
        postgres: Postgres,
        queue: SmsQueue,
        chain: SmsChain,
        reporting: Collection[str],
        codes: Codes,
        clock: Clock,
        rules: SmsRules,
    ) -> None:
        self._postgres = postgres
        self._queue = queue
        self._chain = chain
        self._reporting = reporting
        self._codes = codes
        self._clock = clock
        self._rules = rules

    async def run(self) -> None:
        """Sends until cancelled; while Postgres is away it waits."""
        under_way: set[asyncio.Task[None]] = set()

        def ended(task: asyncio.Task[None]) -> None:
            under_way.discard(task)
            self._queue.wake()

        async with asyncio.TaskGroup() as sending:
            try:
                while True:
                    free = self._rules.at_once - len(under_way)
                    messages = await self._claim(free) if free else ()
                    for message in messages:
                        task = sending.create_task(self._attempt(message))
                        under_way.add(task)
                        task.add_done_callback(ended)
                    if not messages:
                        await self._queue.wait(self._rules.poll.total_seconds())
            finally:
                # Of a message that is cut off nobody knows whether it arrived.
                if under_way:
                    await asyncio.wait(under_way, timeout=self._rules.finish.total_seconds())

    async def send_due(self) -> int:
        """Makes one round of attempts at each message that is due, and returns how many there were."""
        messages = await self._claim(self._rules.at_once)
        async with asyncio.TaskGroup() as sending:
            for message in messages:
                sending.create_task(self._attempt(message))
        return len(messages)

    async def _claim(self, most: int) -> tuple[QueuedSms, ...]:
        now = self._clock.now()
        try:
            async with self._postgres.transaction() as tx:
                return await repository.claim(tx, now, now + self._rules.lease, most)
        except StoreUnavailable:
            log.warning("sms.queue_unavailable")
            return ()

    async def _attempt(self, message: QueuedSms) -> None:
        try:
            outgoing = self._outgoing(message, self._clock.now())
            if outgoing is None:
                await self._end(message, "expired", "expired")
            elif message.attempt_count > self._rules.attempts:
                await self._end(message, "failed", "abandoned")
            else:
                outcome = await self._chain.hand_over(outgoing, message.doubt_count)
                failpoint("sms.handed_over")
                await self._record(message, outcome)
        except StoreUnavailable:
            # The lease ends by itself, and the message goes out again with the same key.
            log.warning("sms.not_recorded", template=message.template, attempt=message.attempt_count)

    def _outgoing(self, message: QueuedSms, now: datetime) -> OutgoingSms | None:
        """Makes the text; returns None where the message is worth nothing any more."""
        if now >= message.expire_time:
            return None
        key, purpose = message.message_id.hex, CODES.get(message.template)
        if message.challenge_id is None or purpose is None:
            return OutgoingSms(key, message.phone, text_of(message.template, message.locale))
        kid = message.pepper_kid
        code = None if kid is None else self._codes.derive(message.challenge_id, kid, purpose)
        if code is None:
            return None
        text = text_of(message.template, message.locale, code=code, host=self._rules.autofill_host)
        return OutgoingSms(key, message.phone, text, code)

    async def _record(self, message: QueuedSms, outcome: Handover) -> None:
        now, attempt = self._clock.now(), message.attempt_count
        async with self._postgres.transaction() as tx:
            if not await repository.lock(tx, message):
                return
            await repository.record_attempts(tx, message, outcome.attempts, outcome.doubt_count)
            if outcome.receipt is not None:
                reports = outcome.receipt.provider in self._reporting
                await repository.sent(tx, message, outcome.receipt, now, status_time(now, 0) if reports else None)
            elif outcome.again and attempt < self._rules.attempts:
                wait = self._rules.first_backoff * 2 ** (attempt - 1)
                await repository.retry(tx, message, outcome.failure, now + wait)
            else:
                await repository.end(tx, message, "failed", outcome.failure, now)
        if outcome.receipt is not None:
            log.info("sms.sent", template=message.template, attempt=attempt, provider=outcome.receipt.provider)
        else:
            log.warning("sms.not_sent", template=message.template, attempt=attempt, kind=outcome.failure)

    async def _end(self, message: QueuedSms, state: str, failure: str) -> None:
        async with self._postgres.transaction() as tx:
            await repository.end(tx, message, state, failure, self._clock.now())
