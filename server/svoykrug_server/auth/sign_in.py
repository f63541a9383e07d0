"""Use cases: signing in with a code.

Nothing here asks whether a phone is known before its code came back right, so known and unknown numbers get the same
answer in the same time. All sign-ins with one phone wait for each other, so each limit is judged on what is true.
"""

from datetime import datetime, timedelta
from uuid import UUID

from svoykrug_server.auth.call import Call
from svoykrug_server.auth.codes import Codes, random_challenge_id
from svoykrug_server.auth.model import Challenge, ChallengeView, SignInLimits
from svoykrug_server.auth.repository import challenges as repository
from svoykrug_server.auth.repository.challenges import SendHistory
from svoykrug_server.auth.sms.queue import SmsQueue
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import DomainError, FailedPrecondition, InvalidFields, Limited
from svoykrug_server.kit.phone import parse_phone
from svoykrug_server.storage.postgres import Postgres, Transaction


class CodeSending:
    """Starts sign-ins and sends codes.

    Args:
        postgres: Where challenges are kept.
        codes: Derives codes.
        sms: The queue of SMS.
        limits: How often codes are sent.
        clock: Tells the time.
    """

    def __init__(self, postgres: Postgres, codes: Codes, sms: SmsQueue, limits: SignInLimits, clock: Clock) -> None:
        self._postgres = postgres
        self._codes = codes
        self._sms = sms
        self._limits = limits
        self._clock = clock

    async def start(self, phone_text: str, call: Call) -> ChallengeView:
        """Sends a code to a phone.

        Args:
            phone_text: A phone number in any spelling.
            call: Where it came from.

        Raises:
            InvalidFields: It is no phone number.
            Limited: RESEND_TOO_SOON or SIGN_IN_LIMITED.
        """
        phone = parse_phone(phone_text)
        if phone is None:
            raise InvalidFields.of("phone", "must be a phone number")
        async with self._postgres.transaction() as tx:
            await repository.lock_phone(tx, phone)
            outcome = await self._start(tx, phone, call)
        return self._settled(outcome)

    async def resend(self, challenge_id: UUID, call: Call) -> ChallengeView:
        """Sends the same code of a challenge again; its time does not get longer.

        Raises:
            FailedPrecondition: CHALLENGE_OVER.
            Limited: RESEND_TOO_SOON or SIGN_IN_LIMITED.
        """
        async with self._postgres.transaction() as tx:
            outcome = await self._resend(tx, challenge_id, call)
        return self._settled(outcome)

    async def _start(self, tx: Transaction, phone: str, call: Call) -> ChallengeView | DomainError:
        now = self._clock.now()
        challenge = Challenge(
            challenge_id=random_challenge_id(),
            phone=phone,
            pepper_kid=self._codes.active_kid,
            create_time=now,
            expire_time=now + self._limits.code_life,
        )
        refusal = await self._send(tx, challenge, call, now)
        if refusal is not None:
            return refusal
        await repository.insert(tx, challenge)
        return self._view(challenge, now)

    async def _resend(self, tx: Transaction, challenge_id: UUID, call: Call) -> ChallengeView | DomainError:
        challenge = await repository.get_locked(tx, challenge_id)
        now = self._clock.now()
        if challenge is None or not challenge.is_open(now, self._limits):
            return FailedPrecondition("CHALLENGE_OVER")
        return await self._send(tx, challenge, call, now) or self._view(challenge, now)

    async def _send(self, tx: Transaction, challenge: Challenge, call: Call, now: datetime) -> DomainError | None:
        """Counts a send and queues it, or returns why it may not be."""
        address = call.peer_address
        await repository.lock_address(tx, address)
        history = await repository.send_history(tx, challenge.phone, address, self._limits, now)
        refusal = self._refusal(history, now)
        if refusal is not None:
            return refusal
        send_id = await repository.record_send(tx, challenge.challenge_id, challenge.phone, address, now)
        await self._sms.put_code(tx, challenge, send_id, call.locale, now)
        return None

    def _refusal(self, history: SendHistory, now: datetime) -> DomainError | None:
        times = history.phone_send_times
        if len(times) >= self._limits.sends_per_phone_day:
            return Limited("SIGN_IN_LIMITED", retry_after=times[-1] + timedelta(days=1) - now)
        if history.address_full_time is not None:
            return Limited("SIGN_IN_LIMITED", retry_after=history.address_full_time + timedelta(hours=1) - now)
        if times and now < times[0] + self._limits.resend_wait:
            return Limited("RESEND_TOO_SOON", retry_after=times[0] + self._limits.resend_wait - now)
        return None

    def _view(self, challenge: Challenge, now: datetime) -> ChallengeView:
        return ChallengeView(
            challenge_id=challenge.challenge_id,
            expire_time=challenge.expire_time,
            resend_time=now + self._limits.resend_wait,
            guesses_left=self._limits.guesses - challenge.wrong_guess_count,
        )

    def _settled(self, outcome: ChallengeView | DomainError) -> ChallengeView:
        if isinstance(outcome, DomainError):
            raise outcome
        self._sms.wake()
        return outcome
