"""Use cases: a person takes another phone as her own.

She must have signed in with her present phone moments ago: without that, whoever stole an access token would take her
account with it. The code goes to the new phone, and only the right code tells whether it belongs to somebody else. Her
old phone is told, and all her other sessions end, so that she learns of a change that was not hers.
"""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from svoykrug_server.auth.accounts import Accounts
from svoykrug_server.auth.call import Call, event_of
from svoykrug_server.auth.code_judging import CodeJudge, Guess
from svoykrug_server.auth.model import Challenge, ChallengeView, Revocation, SignInLimits
from svoykrug_server.auth.repository import challenges, sessions
from svoykrug_server.auth.revocations import Revocations
from svoykrug_server.auth.session_ends import SessionEnds
from svoykrug_server.auth.sign_in import CodeSending
from svoykrug_server.auth.sms.queue import SmsQueue
from svoykrug_server.kit.account import RevokeReason
from svoykrug_server.kit.caller import Caller
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import Conflict, DomainError, FailedPrecondition, InvalidFields
from svoykrug_server.kit.phone import parse_phone
from svoykrug_server.storage import audit
from svoykrug_server.storage.audit import AuditResult
from svoykrug_server.storage.postgres import Postgres, Transaction


@dataclass(frozen=True, slots=True)
class PhoneAnswer:
    """What a client brings to complete a phone change.

    Attributes:
        challenge_id: The challenge.
        code: The six digits.
        request_id: Makes the call repeatable.
    """

    challenge_id: UUID
    code: str = field(repr=False)
    request_id: UUID


@dataclass(frozen=True, slots=True)
class PhoneChanged:
    """A changed phone.

    Attributes:
        phone: Her phone from now on, E.164.
        revoked_count: How many other sessions ended.
        ended: Those sessions, for this server to hear once the transaction has committed.
    """

    phone: str = field(repr=False)
    revoked_count: int
    ended: tuple[Revocation, ...] = ()


class PhoneChange:
    """Changes phones.

    Args:
        postgres: Where challenges are kept.
        accounts: The people of the circle.
        sending: Starts challenges.
        judge: Judges codes.
        ends: Ends sessions.
        revocations: What this server knows to be ended.
        sms: The queue of SMS.
        limits: How often codes are guessed, and how fresh her sign-in must be.
        clock: Tells the time.
    """

    def __init__(
        self,
        postgres: Postgres,
        accounts: Accounts,
        sending: CodeSending,
        judge: CodeJudge,
        ends: SessionEnds,
        revocations: Revocations,
        sms: SmsQueue,
        limits: SignInLimits,
        clock: Clock,
    ) -> None:
        self._postgres = postgres
        self._accounts = accounts
        self._sending = sending
        self._judge = judge
        self._ends = ends
        self._revocations = revocations
        self._sms = sms
        self._limits = limits
        self._clock = clock

    async def start(self, caller: Caller, phone_text: str, call: Call) -> ChallengeView:
        """Sends a code to the phone that the caller wants as her own.

        Raises:
            InvalidFields: It is no phone number, or the one she has.
            FailedPrecondition: SIGN_IN_NOT_RECENT.
            Limited: RESEND_TOO_SOON or SIGN_IN_LIMITED.
        """
        async with self._postgres.transaction() as tx:
            claims = await self._accounts.claims(tx, caller.subject_id)
            refusal = await self._not_recent(tx, caller, call)
        if refusal is not None:
            raise refusal
        if claims is not None and claims.phone is not None and parse_phone(phone_text) == claims.phone:
            raise InvalidFields.of("phone", "must be another phone than the present one")
        return await self._sending.start(phone_text, call, caller.subject_id)

    async def _not_recent(self, tx: Transaction, caller: Caller, call: Call) -> DomainError | None:
        """Refuses whoever did not sign in moments ago. A challenge is proof of that: it is not asked again."""
        now = self._clock.now()
        signed_in = None if caller.session_id is None else await sessions.sign_in_time(tx, caller.session_id)
        if signed_in is not None and now - signed_in <= self._limits.phone_change_sign_in:
            return None
        await self._audit(tx, call, caller, now, AuditResult.REFUSED)
        return FailedPrecondition("SIGN_IN_NOT_RECENT")

    async def complete(self, caller: Caller, answer: PhoneAnswer, call: Call) -> PhoneChanged:
        """Makes the phone of a challenge the caller's own.

        Raises:
            Unauthenticated: CODE_WRONG.
            Limited: GUESSES_EXHAUSTED or SIGN_IN_LIMITED.
            FailedPrecondition: CHALLENGE_OVER.
            Conflict: PHONE_TAKEN.
            PermissionDenied: She was erased, deleted or banned a moment ago.
        """
        async with self._postgres.transaction() as tx:
            outcome = await self._complete(tx, caller, answer, call)
        if isinstance(outcome, DomainError):
            raise outcome
        for revocation in outcome.ended:
            self._revocations.hear(revocation)
        self._sms.wake()
        return outcome

    async def _complete(
        self, tx: Transaction, caller: Caller, answer: PhoneAnswer, call: Call
    ) -> PhoneChanged | DomainError:
        guess = Guess(answer.challenge_id, answer.code, answer.request_id, caller.subject_id)
        judged = await self._judge.judge(tx, guess, call)
        if isinstance(judged, DomainError):
            return judged
        challenge = judged.challenge
        if judged.repeated:
            return PhoneChanged(challenge.phone, challenge.revoked_count or 0)
        now = self._clock.now()
        claims = await self._accounts.claims(tx, caller.subject_id)
        refusal = await self._change(tx, caller, challenge, now)
        if refusal is not None:
            await self._consume(tx, challenge, answer, None, now)
            await self._audit(tx, call, caller, now, AuditResult.REFUSED)
            return refusal
        ended = await self._ends.end(tx, caller.subject_id, RevokeReason.PHONE_CHANGED, but=caller.session_id)
        await self._consume(tx, challenge, answer, len(ended), now)
        await self._audit(tx, call, caller, now, AuditResult.DONE)
        if claims is not None and claims.phone is not None:
            await self._sms.put_phone_changed(tx, challenge.challenge_id, claims.phone, claims.locale, now)
        return PhoneChanged(challenge.phone, len(ended), ended)

    async def _change(self, tx: Transaction, caller: Caller, challenge: Challenge, now: datetime) -> DomainError | None:
        if challenge.demo:
            return Conflict("PHONE_TAKEN")
        return await self._accounts.change_phone(tx, caller.subject_id, challenge.phone, now)

    async def _consume(
        self, tx: Transaction, challenge: Challenge, answer: PhoneAnswer, revoked_count: int | None, now: datetime
    ) -> None:
        """Uses the code up. Raises inside the transaction: nothing that depends on the code may then stay written."""
        used_up = await challenges.consume(
            tx,
            challenge.challenge_id,
            request_id=answer.request_id,
            revoked_count=revoked_count,
            guesses=self._limits.guesses,
            now=now,
        )
        if not used_up:
            raise FailedPrecondition("CHALLENGE_OVER")

    async def _audit(self, tx: Transaction, call: Call, caller: Caller, now: datetime, result: AuditResult) -> None:
        target = ("user", str(caller.subject_id))
        event = event_of(call, "PHONE_CHANGED", now, target=target, actor_id=caller.subject_id, result=result)
        await audit.append(tx, event)
