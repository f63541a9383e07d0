"""The queue of SMS: filled in the transaction of what a message tells of, emptied by a worker."""

import asyncio
from datetime import datetime, timedelta
from uuid import UUID

from svoykrug_server.auth.model import Challenge
from svoykrug_server.auth.repository import sms_messages as repository
from svoykrug_server.auth.sms.model import CODES, QueuedSms, Template
from svoykrug_server.kit.ids import uuid7
from svoykrug_server.storage.postgres import Transaction

NOTICE_LIFE = timedelta(days=1)


class SmsQueue:
    """Puts messages into the queue and wakes this server's worker."""

    def __init__(self) -> None:
        self._filled = asyncio.Event()

    async def put_code(self, tx: Transaction, challenge: Challenge, send_id: int, locale: str, now: datetime) -> None:
        """Queues a challenge's code. The queue holds the challenge's id, never the code.

        Args:
            tx: The transaction that counts the send.
            challenge: Whose code.
            send_id: The send's number: one message for each.
            locale: `ru` or `en`.
            now: The present instant; aware.
        """
        template = next(template for template, purpose in CODES.items() if purpose is challenge.purpose)
        message = QueuedSms(
            message_id=uuid7(now),
            idempotency_key=f"code-{send_id}",
            phone=challenge.phone,
            template=template,
            challenge_id=challenge.challenge_id,
            locale=locale,
            expire_time=challenge.expire_time,
        )
        await repository.enqueue(tx, message, now)

    async def put_warning(self, tx: Transaction, session_id: UUID, phone: str, locale: str, now: datetime) -> None:
        """Queues the warning that a session was ended because it may have been stolen; once for each session."""
        await self._put_notice(tx, Template.SESSION_COMPROMISED, f"compromised-{session_id}", phone, locale, now)

    async def put_phone_changed(
        self, tx: Transaction, challenge_id: UUID, old_phone: str, locale: str, now: datetime
    ) -> None:
        """Queues the notice that an account has another phone from now on; once for each challenge of a change.

        Args:
            tx: The transaction that changes the phone.
            challenge_id: The challenge that proved the new phone.
            old_phone: Where the notice goes; E.164.
            locale: `ru` or `en`.
            now: The present instant; aware.
        """
        await self._put_notice(tx, Template.PHONE_CHANGED, f"phone-changed-{challenge_id}", old_phone, locale, now)

    async def _put_notice(
        self, tx: Transaction, template: Template, key: str, phone: str, locale: str, now: datetime
    ) -> None:
        message = QueuedSms(
            message_id=uuid7(now),
            idempotency_key=key,
            phone=phone,
            template=template,
            challenge_id=None,
            locale=locale,
            expire_time=now + NOTICE_LIFE,
        )
        await repository.enqueue(tx, message, now)

    def wake(self) -> None:
        """Tells this server's worker that a message was committed."""
        self._filled.set()

    async def wait(self, seconds: float) -> None:
        """Waits until something was put in here, or the time is over: another server may have put something in too."""
        try:
            # Not wait_for: in Python 3.11 it forgets that it was cancelled when the event comes in the same moment.
            async with asyncio.timeout(seconds):
                await self._filled.wait()
        except TimeoutError:
            return
        finally:
            self._filled.clear()
