"""Use case: completing a sign-in with the code that came by SMS.

All answers for one phone wait for each other, so of parallel guesses no more are judged than the limits allow. A code
is used up by one UPDATE that holds only while the code is good: of parallel right answers one wins. A wrong guess is
counted though the call fails.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from svoykrug_server.auth.accounts import Accounts
from svoykrug_server.auth.call import Call, event_of
from svoykrug_server.auth.codes import Codes
from svoykrug_server.auth.model import Challenge, Session, SessionLimits, SignedIn, SignInAnswer, SignInLimits
from svoykrug_server.auth.refresh_tokens import RefreshToken, RefreshTokens, random_salt
from svoykrug_server.auth.repository import challenges, sessions
from svoykrug_server.auth.sessions import view_of
from svoykrug_server.auth.tokens import TokenRotation
from svoykrug_server.kit.account import AccountStatus, Joining
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import DomainError, FailedPrecondition, Limited, PermissionDenied, Unauthenticated
from svoykrug_server.kit.ids import uuid7
from svoykrug_server.storage import audit
from svoykrug_server.storage.audit import AuditResult
from svoykrug_server.storage.postgres import Postgres, Transaction


@dataclass(frozen=True, slots=True)
class CompletionLimits:
    """The rules of both halves.

    Attributes:
        sign_in: How often codes are guessed.
        session: How long tokens live.
    """

    sign_in: SignInLimits
    session: SessionLimits


class SignInCompletion:
    """Judges codes and opens sessions.

    Args:
        postgres: Where challenges and sessions are kept.
        accounts: The people of the circle.
        codes: Derives and compares codes.
        refresh: Derives refresh tokens.
        rotation: Makes pairs of tokens.
        limits: The rules.
        clock: Tells the time.
    """

    def __init__(
        self,
        postgres: Postgres,
        accounts: Accounts,
        codes: Codes,
        refresh: RefreshTokens,
        rotation: TokenRotation,
        limits: CompletionLimits,
        clock: Clock,
    ) -> None:
        self._postgres = postgres
        self._accounts = accounts
        self._codes = codes
        self._refresh = refresh
        self._rotation = rotation
        self._limits = limits
        self._clock = clock

    async def complete(self, answer: SignInAnswer, call: Call) -> SignedIn:
        """Exchanges a challenge and its code for a session.

        Raises:
            Unauthenticated: CODE_WRONG.
            Limited: GUESSES_EXHAUSTED or SIGN_IN_LIMITED.
            FailedPrecondition: CHALLENGE_OVER; CONSENT_REQUIRED or REFERRAL_INVALID, and the code stays
                good.
            PermissionDenied: USER_BANNED.
        """
        async with self._postgres.transaction() as tx:
            outcome = await self._judge(tx, answer, call)
        if isinstance(outcome, DomainError):
            raise outcome
        return outcome

    async def _judge(self, tx: Transaction, answer: SignInAnswer, call: Call) -> SignedIn | DomainError:
        challenge = await challenges.get_locked(tx, answer.challenge_id)
        now = self._clock.now()
        if challenge is None or now >= challenge.expire_time:
            return FailedPrecondition("CHALLENGE_OVER")
        repeated = challenge.session_id is not None and challenge.consume_request_id == answer.request_id
        if challenge.consume_time is not None and not repeated:
            return FailedPrecondition("CHALLENGE_OVER")
        refusal = await self._exhausted(tx, challenge, now)
        if refusal is not None:
            return refusal
        if not self._codes.matches(answer.code, challenge):
            return await self._wrong(tx, challenge, call, now)
        if repeated:
            return await self._again(tx, challenge, answer, now)
        return await self._enter(tx, challenge, answer, call, now)

    async def _exhausted(self, tx: Transaction, challenge: Challenge, now: datetime) -> DomainError | None:
        limits = self._limits.sign_in
        if challenge.wrong_guess_count >= limits.guesses:
            return self._guesses_exhausted(challenge, now)
        most = limits.wrong_guesses_per_phone_hour
        times = await challenges.wrong_guess_times(tx, challenge.phone, now - timedelta(hours=1), most)
        if len(times) >= most:
            return Limited("SIGN_IN_LIMITED", retry_after=times[-1] + timedelta(hours=1) - now)
        return None

    async def _wrong(self, tx: Transaction, challenge: Challenge, call: Call, now: datetime) -> DomainError:
        left = await challenges.count_wrong_guess(tx, challenge, self._limits.sign_in.guesses, now)
        if left is None:
            return self._guesses_exhausted(challenge, now)
        if left == 0:
            await self._audit(tx, call, "CODE_GUESSES_EXHAUSTED", challenge, now)
        return Unauthenticated("CODE_WRONG", metadata={"guesses_left": str(left)})

    def _guesses_exhausted(self, challenge: Challenge, now: datetime) -> DomainError:
        next_code_time = challenge.create_time + self._limits.sign_in.resend_wait
        return Limited("GUESSES_EXHAUSTED", retry_after=max(next_code_time - now, timedelta(seconds=1)))

    async def _enter(
        self, tx: Transaction, challenge: Challenge, answer: SignInAnswer, call: Call, now: datetime
    ) -> SignedIn | DomainError:
        account = await self._accounts.find_by_phone(tx, challenge.phone)
        if account is not None and account.status is AccountStatus.BANNED:
            return await self._shut_out(tx, challenge, answer, call, PermissionDenied("USER_BANNED"))
        if account is not None and account.status in (AccountStatus.ACTIVE, AccountStatus.DELETED):
            return await self._open(tx, challenge, answer, call, account.user_id, new_user=False)
        joining = Joining(challenge.phone, answer.consents, answer.referral_code, call.locale, now)
        joined = await self._accounts.join(tx, joining)
        if isinstance(joined, DomainError):
            return joined
        return await self._open(tx, challenge, answer, call, joined, new_user=True)

    async def _open(
        self, tx: Transaction, challenge: Challenge, answer: SignInAnswer, call: Call, user_id: UUID, *, new_user: bool
    ) -> SignedIn | DomainError:
        now = self._clock.now()
        session, token = self._new_session(challenge, answer, user_id, now)
        await self._consume(tx, challenge, answer, session.session_id, new_user=new_user)
        await sessions.insert(tx, session)
        await challenges.mark_verified(tx, challenge.challenge_id)
        target = ("session", str(session.session_id))
        await audit.append(tx, event_of(call, "SIGNED_IN", now, target=target, actor_id=user_id))
        return await self._signed_in(tx, session, token, now, new_user=new_user)

    def _new_session(
        self, challenge: Challenge, answer: SignInAnswer, user_id: UUID, now: datetime
    ) -> tuple[Session, RefreshToken]:
        session_id, salt, kid = uuid7(now), random_salt(), self._refresh.active_kid
        token = self._refresh.first(session_id, challenge.challenge_id, answer.request_id, salt, kid)
        if token is None:
            raise LookupError("the active rotation key is missing")
        session = Session(
            session_id=session_id,
            user_id=user_id,
            device_name=answer.device_name,
            create_time=now,
            rotate_time=now,
            access_epoch=1,
            current_hash=token.secret_hash,
            previous_hash=None,
            salt=salt,
            rotation_kid=kid,
            rotation_request_id=answer.request_id,
        )
        return session, token

    async def _again(
        self, tx: Transaction, challenge: Challenge, answer: SignInAnswer, now: datetime
    ) -> SignedIn | DomainError:
        """Gives a lost answer again: the same session and refresh token, as long as it has not been rotated."""
        session = None if challenge.session_id is None else await sessions.lock(tx, challenge.session_id)
        if session is None or session.revoke_time is not None or session.previous_hash is not None:
            return FailedPrecondition("CHALLENGE_OVER")
        token = self._refresh.first(
            session.session_id, challenge.challenge_id, answer.request_id, session.salt, session.rotation_kid
        )
        if token is None:
            return FailedPrecondition("CHALLENGE_OVER")
        return await self._signed_in(tx, session, token, now, new_user=challenge.new_user)

    async def _signed_in(
        self, tx: Transaction, session: Session, token: RefreshToken, now: datetime, *, new_user: bool
    ) -> SignedIn | DomainError:
        claims = await self._accounts.claims(tx, session.user_id)
        if claims is None or claims.status not in (AccountStatus.ACTIVE, AccountStatus.DELETED):
            return FailedPrecondition("CHALLENGE_OVER")
        return SignedIn(
            user_id=session.user_id,
            session=view_of(session, self._limits.session, current=True),
            tokens=self._rotation.pair(session, claims, token, now),
            new_user=new_user,
            erase_time=claims.erase_time,
        )

    async def _shut_out(
        self, tx: Transaction, challenge: Challenge, answer: SignInAnswer, call: Call, refusal: DomainError
    ) -> DomainError:
        await self._consume(tx, challenge, answer, None, new_user=False)
        await challenges.mark_verified(tx, challenge.challenge_id)
        await self._audit(tx, call, refusal.reason, challenge, self._clock.now())
        return refusal

    async def _consume(
        self, tx: Transaction, challenge: Challenge, answer: SignInAnswer, session_id: UUID | None, *, new_user: bool
    ) -> None:
        """Uses the code up. Raises inside the transaction: nothing that depends on the code may then stay written."""
        used_up = await challenges.consume(
            tx,
            challenge.challenge_id,
            request_id=answer.request_id,
            session_id=session_id,
            new_user=new_user,
            guesses=self._limits.sign_in.guesses,
            now=self._clock.now(),
        )
        if not used_up:
            raise FailedPrecondition("CHALLENGE_OVER")

    async def _audit(self, tx: Transaction, call: Call, action: str, challenge: Challenge, now: datetime) -> None:
        target = ("challenge", str(challenge.challenge_id))
        await audit.append(tx, event_of(call, action, now, target=target, result=AuditResult.REFUSED))
