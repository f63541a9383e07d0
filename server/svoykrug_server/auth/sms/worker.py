"""The worker that empties the queue of SMS.

A message is leased to one worker for a while. Should that worker die, the message is due again when the lease ends,
and goes out with the same idempotency key, by which the provider drops it if it had it already.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from svoykrug_server.auth.codes import Codes
from svoykrug_server.auth.repository import sms_messages as repository
from svoykrug_server.auth.sms.model import OutgoingSms, QueuedSms, SmsNotSent, SmsSender
from svoykrug_server.auth.sms.queue import SmsQueue
from svoykrug_server.auth.sms.texts import text_of
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import StoreUnavailable
from svoykrug_server.storage.postgres import Postgres

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SmsRules:
    """How messages are sent; each number is a setting.

    Attributes:
        autofill_host: The host of the app or site that phones fill a code in for.
        attempts: How often a message is tried.
        first_backoff: The wait after the first failure; it doubles with each.
        lease: How long an attempt may take before another worker tries.
        poll: How often the queue is looked at when nothing wakes the worker.
        batch: How many messages are taken at a time.
    """

    autofill_host: str
    attempts: int = 6
    first_backoff: timedelta = timedelta(seconds=1)
    lease: timedelta = timedelta(seconds=30)
    poll: timedelta = timedelta(seconds=1)
    batch: int = 20


class SmsWorker:
    """Sends what is due.

    Args:
        postgres: Where the queue is kept.
        queue: Wakes the worker.
        sender: Sends.
        codes: Derives codes.
        clock: Tells the time.
        rules: How messages are sent.
    """

    def __init__(
        self, postgres: Postgres, queue: SmsQueue, sender: SmsSender, codes: Codes, clock: Clock, rules: SmsRules
    ) -> None:
        self._postgres = postgres
        self._queue = queue
        self._sender = sender
        self._codes = codes
        self._clock = clock
        self._rules = rules

    async def run(self) -> None:
        """Sends until cancelled; while Postgres is away it waits."""
        while True:
            try:
                while await self.send_due():
                    pass
            except StoreUnavailable:
                log.warning("sms.queue_unavailable")
            await self._queue.wait(self._rules.poll.total_seconds())

    async def send_due(self) -> int:
        """Makes one attempt at each message that is due, and returns how many there were."""
        now = self._clock.now()
        async with self._postgres.transaction() as tx:
            messages = await repository.claim(tx, now, now + self._rules.lease, self._rules.batch)
        for message in messages:
            await self._attempt(message)
        return len(messages)

    async def _attempt(self, message: QueuedSms) -> None:
        outgoing = self._outgoing(message, self._clock.now())
        if outgoing is None:
            await self._end(message, "expired", "expired")
            return
        try:
            receipt = await self._sender.send(outgoing)
        except SmsNotSent as failure:
            await self._failed(message, failure)
            return
        async with self._postgres.transaction() as tx:
            await repository.sent(tx, message, receipt, self._clock.now())
        log.info("sms.sent", template=message.template.value, attempt=message.attempt_count, provider=receipt.provider)

    def _outgoing(self, message: QueuedSms, now: datetime) -> OutgoingSms | None:
        """Makes the text; returns None where the message is worth nothing any more."""
        if now >= message.expire_time:
            return None
        if message.challenge_id is None:
            return OutgoingSms(message.idempotency_key, message.phone, text_of(message.template, message.locale))
        code = self._codes.derive(message.challenge_id, message.pepper_kid) if message.pepper_kid else None
        if code is None:
            return None
        text = text_of(message.template, message.locale, code=code, host=self._rules.autofill_host)
        return OutgoingSms(message.idempotency_key, message.phone, text, code)

    async def _failed(self, message: QueuedSms, failure: SmsNotSent) -> None:
        log.warning("sms.not_sent", template=message.template.value, attempt=message.attempt_count, kind=failure.kind)
        if not failure.again or message.attempt_count >= self._rules.attempts:
            await self._end(message, "failed", failure.kind)
            return
        wait = self._rules.first_backoff * 2 ** (message.attempt_count - 1)
        async with self._postgres.transaction() as tx:
            await repository.retry(tx, message, failure.kind, self._clock.now() + wait)

    async def _end(self, message: QueuedSms, state: str, failure: str) -> None:
        async with self._postgres.transaction() as tx:
            await repository.end(tx, message, state, failure, self._clock.now())
