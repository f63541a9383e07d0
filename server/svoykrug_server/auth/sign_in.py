"""Use cases: starting a challenge and sending its code, for a sign-in or a phone change.

Nothing here asks whether a phone is known before its code came back right, so known and unknown numbers get the same
answer in the same time. All challenges of one phone wait for each other, so each limit is judged on what is true.
"""

from datetime import datetime
from uuid import UUID

from svoykrug_server.auth.breakers import Breakers
from svoykrug_server.auth.call import Call
from svoykrug_server.auth.code_sends import CodeSends
from svoykrug_server.auth.codes import Codes, random_challenge_id
from svoykrug_server.auth.model import Challenge, ChallengeView, Purpose, SignInLimits
from svoykrug_server.auth.repository import challenges, demo_phones
from svoykrug_server.auth.sms.queue import SmsQueue
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import DomainError, FailedPrecondition, InvalidFields
from svoykrug_server.kit.phone import calling_code, parse_phone
from svoykrug_server.storage.postgres import Postgres, Transaction

MOST_OPEN_DEMO = 20
"""How many challenges of a demo phone are open at once: no limit on sends keeps a stranger from starting more."""


class CodeSending:
    """Starts challenges and sends their codes.

    Args:
        postgres: Where challenges are kept.
        codes: Derives codes.
        sends: Judges, counts and queues sends.
        breakers: The breakers of calling codes.
        sms: The queue of SMS.
        limits: How long codes live and how often they are guessed.
        clock: Tells the time.
    """

    def __init__(
        self,
        postgres: Postgres,
        codes: Codes,
        sends: CodeSends,
        breakers: Breakers,
        sms: SmsQueue,
        limits: SignInLimits,
        clock: Clock,
    ) -> None:
        self._postgres = postgres
        self._codes = codes
        self._sends = sends
        self._breakers = breakers
        self._sms = sms
        self._limits = limits
        self._clock = clock

    async def start(self, phone_text: str, call: Call, changing_user_id: UUID | None = None) -> ChallengeView:
        """Sends a code to a phone.

        Args:
            phone_text: A phone number in any spelling.
            call: Where it came from.
            changing_user_id: Who wants the phone as her own; None for a sign-in.

        Raises:
            InvalidFields: It is no phone number.
            Limited: RESEND_TOO_SOON or SIGN_IN_LIMITED.
        """
        phone = parse_phone(phone_text)
        if phone is None:
            raise InvalidFields.of("phone", "must be a phone number")
        await self._breakers.look(calling_code(phone))
        async with self._postgres.transaction() as tx:
            outcome = await self._start(tx, phone, call, changing_user_id)
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

    async def _start(
        self, tx: Transaction, phone: str, call: Call, changing_user_id: UUID | None
    ) -> ChallengeView | DomainError:
        await challenges.lock_phone(tx, phone)
        now = self._clock.now()
        challenge = Challenge(
            challenge_id=random_challenge_id(),
            phone=phone,
            pepper_kid=self._codes.active_kid,
            create_time=now,
            expire_time=now + self._limits.code_life,
            purpose=Purpose.SIGN_IN if changing_user_id is None else Purpose.PHONE_CHANGE,
            user_id=changing_user_id,
            demo=await demo_phones.find(tx, phone, now) is not None,
        )
        if challenge.demo:
            await challenges.insert(tx, challenge)
            await challenges.trim_demo(tx, phone, MOST_OPEN_DEMO, now)
            return self._view(challenge, now)
        return await self._sends.send(tx, challenge, call, now, new=True) or self._view(challenge, now)

    async def _resend(self, tx: Transaction, challenge_id: UUID, call: Call) -> ChallengeView | DomainError:
        challenge = await challenges.get_locked(tx, challenge_id)
        now = self._clock.now()
        if challenge is None or not challenge.is_open(now, self._limits):
            return FailedPrecondition("CHALLENGE_OVER")
        if challenge.demo:
            return self._view(challenge, now)
        return await self._sends.send(tx, challenge, call, now, new=False) or self._view(challenge, now)

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
