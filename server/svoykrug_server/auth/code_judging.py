"""Judging codes, for a sign-in and a phone change alike.

All answers for one phone wait for each other, so of parallel guesses no more are judged than the limits allow. A wrong
guess is counted though the call fails: the refusal is a value, and what was counted is committed with it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from svoykrug_server.auth.call import Call, event_of
from svoykrug_server.auth.codes import Codes
from svoykrug_server.auth.model import Challenge, SignInLimits
from svoykrug_server.auth.repository import challenges, demo_phones
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import DomainError, FailedPrecondition, Limited, Unauthenticated
from svoykrug_server.storage import audit
from svoykrug_server.storage.audit import AuditResult
from svoykrug_server.storage.postgres import Transaction


@dataclass(frozen=True, slots=True)
class Guess:
    """An answer to a challenge.

    Attributes:
        challenge_id: The challenge.
        code: Six digits.
        request_id: Makes the call repeatable.
        user_id: Who changes her phone; None for a sign-in.
    """

    challenge_id: UUID
    code: str
    request_id: UUID
    user_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Right:
    """A right code.

    Attributes:
        challenge: Whose code it is; locked until the transaction ends.
        repeated: Whether the same request succeeded before.
    """

    challenge: Challenge
    repeated: bool


class CodeJudge:
    """Judges codes.

    Args:
        codes: Derives and compares codes.
        limits: How often codes are guessed.
        clock: Tells the time.
    """

    def __init__(self, codes: Codes, limits: SignInLimits, clock: Clock) -> None:
        self._codes = codes
        self._limits = limits
        self._clock = clock

    async def judge(self, tx: Transaction, guess: Guess, call: Call) -> Right | DomainError:
        """Tells whether a guess is right.

        Returns:
            The challenge, or the refusal: CHALLENGE_OVER, GUESSES_EXHAUSTED, SIGN_IN_LIMITED or CODE_WRONG.
        """
        challenge = await challenges.get_locked(tx, guess.challenge_id)
        now = self._clock.now()
        if challenge is None or now >= challenge.expire_time or challenge.user_id != guess.user_id:
            return FailedPrecondition("CHALLENGE_OVER")
        repeated = challenge.succeeded and challenge.consume_request_id == guess.request_id
        if challenge.consume_time is not None and not repeated:
            return FailedPrecondition("CHALLENGE_OVER")
        refusal = await self._exhausted(tx, challenge, now)
        if refusal is not None:
            return refusal
        if not await self._matches(tx, guess.code, challenge, now):
            return await self.wrong(tx, challenge, call, "CODE_WRONG")
        await challenges.mark_verified(tx, challenge.challenge_id)
        return Right(challenge, repeated)

    async def wrong(
        self, tx: Transaction, challenge: Challenge, call: Call, reason: str, most_left: int | None = None
    ) -> DomainError:
        """Counts a wrong guess of a challenge and its phone, and returns the refusal.

        Args:
            tx: The transaction that holds the challenge.
            challenge: What was guessed at.
            call: Where it came from.
            reason: CODE_WRONG or BIRTH_DATE_WRONG.
            most_left: How many guesses another limit leaves.
        """
        now = self._clock.now()
        left = await challenges.count_wrong_guess(tx, challenge, self._limits.guesses, now)
        if left is None:
            return self._guesses_exhausted(challenge, now)
        if left == 0:
            target = ("challenge", str(challenge.challenge_id))
            event = event_of(call, "CODE_GUESSES_EXHAUSTED", now, target=target, result=AuditResult.REFUSED)
            await audit.append(tx, event)
        left = left if most_left is None else min(left, most_left)
        return Unauthenticated(reason, metadata={"guesses_left": str(left)})

    async def _matches(self, tx: Transaction, code: str, challenge: Challenge, now: datetime) -> bool:
        if not challenge.demo:
            return self._codes.matches(code, challenge)
        demo = await demo_phones.find(tx, challenge.phone, now)
        return demo is not None and self._codes.matches_demo(code, demo)

    async def _exhausted(self, tx: Transaction, challenge: Challenge, now: datetime) -> DomainError | None:
        if challenge.wrong_guess_count >= self._limits.guesses:
            return self._guesses_exhausted(challenge, now)
        most = self._limits.wrong_guesses_per_phone_hour
        times = await challenges.wrong_guess_times(tx, challenge.phone, now - timedelta(hours=1), most)
        if len(times) >= most:
            return Limited("SIGN_IN_LIMITED", retry_after=times[-1] + timedelta(hours=1) - now)
        return None

    def _guesses_exhausted(self, challenge: Challenge, now: datetime) -> DomainError:
        next_code_time = challenge.create_time + self._limits.resend_wait
        return Limited("GUESSES_EXHAUSTED", retry_after=max(next_code_time - now, timedelta(seconds=1)))
