"""Use case: completing a sign-in with the code that came by SMS.

A code is used up by one UPDATE that holds only while the code is good: of parallel right answers one wins.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from svoykrug_server.auth.accounts import Accounts
from svoykrug_server.auth.call import Call, event_of
from svoykrug_server.auth.code_judging import CodeJudge, Guess
from svoykrug_server.auth.model import Challenge, Session, SessionLimits, SignedIn, SignInAnswer, SignInLimits
from svoykrug_server.auth.refresh_tokens import RefreshToken, RefreshTokens, random_salt
from svoykrug_server.auth.repository import challenges, last_seen, sessions
from svoykrug_server.auth.session_ends import SessionEnds
from svoykrug_server.auth.sessions import view_of
from svoykrug_server.auth.silence import Owner, SilentNumbers
from svoykrug_server.auth.tokens import TokenRotation
from svoykrug_server.kit.account import Account, AccountStatus, Joining, RevokeReason
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import DomainError, FailedPrecondition, PermissionDenied
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
    """Opens sessions for right codes.

    Args:
        postgres: Where challenges and sessions are kept.
        accounts: The people of the circle.
        judge: Judges codes.
        silence: Tells whose a number is that was silent for long.
        refresh: Derives refresh tokens.
        rotation: Makes pairs of tokens.
        ends: Ends the sessions of a number's former owner.
        limits: The rules.
        clock: Tells the time.
    """

    def __init__(
        self,
        postgres: Postgres,
        accounts: Accounts,
        judge: CodeJudge,
        silence: SilentNumbers,
        refresh: RefreshTokens,
        rotation: TokenRotation,
        ends: SessionEnds,
        limits: CompletionLimits,
        clock: Clock,
    ) -> None:
        self._postgres = postgres
        self._accounts = accounts
        self._judge = judge
        self._silence = silence
        self._refresh = refresh
        self._rotation = rotation
        self._ends = ends
        self._limits = limits
        self._clock = clock

    async def complete(self, answer: SignInAnswer, call: Call) -> SignedIn:
        """Exchanges a challenge and its code for a session.

        Raises:
            Unauthenticated: CODE_WRONG or BIRTH_DATE_WRONG.
            Limited: GUESSES_EXHAUSTED or SIGN_IN_LIMITED.
            FailedPrecondition: CHALLENGE_OVER; CONSENT_REQUIRED, REFERRAL_INVALID or ACCOUNT_PROOF_REQUIRED, and the
                code stays good.
            PermissionDenied: USER_BANNED.
        """
        async with self._postgres.transaction() as tx:
            outcome = await self._complete(tx, answer, call)
        if isinstance(outcome, DomainError):
            raise outcome
        return outcome

    async def _complete(self, tx: Transaction, answer: SignInAnswer, call: Call) -> SignedIn | DomainError:
        judged = await self._judge.judge(tx, Guess(answer.challenge_id, answer.code, answer.request_id), call)
        if isinstance(judged, DomainError):
            return judged
        now = self._clock.now()
        if judged.repeated:
            return await self._again(tx, judged.challenge, answer, now)
        return await self._enter(tx, judged.challenge, answer, call, now)

    async def _enter(
        self, tx: Transaction, challenge: Challenge, answer: SignInAnswer, call: Call, now: datetime
    ) -> SignedIn | DomainError:
        account = await self._accounts.find_by_phone(tx, challenge.phone)
        if challenge.demo and account is not None and not account.demo:
            return FailedPrecondition("CHALLENGE_OVER")
        banned_id = await self._banned_id(tx, account, challenge, now)
        if banned_id is not None:
            return await self._shut_out(tx, challenge, answer, call, banned_id)
        if account is None:
            return await self._join(tx, challenge, answer, call, now)
        if account.status is AccountStatus.DELETED:
            return await self._open(tx, challenge, answer, call, account.user_id, new_user=False)
        return await self._return(tx, account, challenge, answer, call, now)

    async def _banned_id(
        self, tx: Transaction, account: Account | None, challenge: Challenge, now: datetime
    ) -> UUID | None:
        """Returns whose ban keeps her out: that of her account, or one that outlived a deleted or erased account."""
        if account is not None and account.status is AccountStatus.BANNED:
            return account.user_id
        if account is not None and account.status is AccountStatus.ACTIVE:
            return None
        if account is not None and account.status is AccountStatus.DELETED:
            return account.user_id if await self._accounts.is_number_banned(tx, account.user_id, now) else None
        return await self._accounts.banned_user_id(tx, challenge.phone, now)

    async def _return(
        self,
        tx: Transaction,
        account: Account,
        challenge: Challenge,
        answer: SignInAnswer,
        call: Call,
        now: datetime,
    ) -> SignedIn | DomainError:
        """Opens a session of a known account, or claims an unclaimed one, unless its number has a new owner."""
        if account.demo and not challenge.demo:
            return await self._join(tx, challenge, answer, call, now, former_owner=account)
        if account.demo:
            return await self._open(tx, challenge, answer, call, account.user_id, new_user=False)
        owner = await self._silence.owner(tx, account, challenge, answer, call, now)
        if isinstance(owner, DomainError):
            return owner
        if owner is Owner.NEW:
            return await self._join(tx, challenge, answer, call, now, former_owner=account)
        if account.status is AccountStatus.UNCLAIMED:
            return await self._join(tx, challenge, answer, call, now)
        return await self._open(tx, challenge, answer, call, account.user_id, new_user=False)

    async def _join(
        self,
        tx: Transaction,
        challenge: Challenge,
        answer: SignInAnswer,
        call: Call,
        now: datetime,
        former_owner: Account | None = None,
    ) -> SignedIn | DomainError:
        joining = Joining(
            phone=challenge.phone,
            consents=answer.consents,
            referral_code=answer.referral_code,
            locale=call.locale,
            join_time=now,
            demo=challenge.demo,
            former_owner_id=None if former_owner is None else former_owner.user_id,
        )
        joined = await self._accounts.join(tx, joining)
        if isinstance(joined, DomainError):
            return joined
        if former_owner is not None:
            await self._ends.end(tx, former_owner.user_id, RevokeReason.NUMBER_RECYCLED)
            for user_id in (former_owner.user_id, joined):
                target = ("user", str(user_id))
                await audit.append(tx, event_of(call, "NUMBER_RECYCLED", now, target=target, actor_id=joined))
        return await self._open(tx, challenge, answer, call, joined, new_user=True)

    async def _open(
        self, tx: Transaction, challenge: Challenge, answer: SignInAnswer, call: Call, user_id: UUID, *, new_user: bool
    ) -> SignedIn | DomainError:
        now = self._clock.now()
        session, token = self._new_session(challenge, answer, user_id, now)
        await self._consume(tx, challenge, answer, session.session_id, new_user=new_user)
        await sessions.insert(tx, session)
        await self._ends.make_room(tx, user_id)
        await last_seen.see(tx, user_id, now)
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
        self, tx: Transaction, challenge: Challenge, answer: SignInAnswer, call: Call, banned_id: UUID
    ) -> DomainError:
        await self._consume(tx, challenge, answer, None, new_user=False)
        target, details = ("challenge", str(challenge.challenge_id)), {"user_id": str(banned_id)}
        now = self._clock.now()
        event = event_of(call, "USER_BANNED", now, target=target, result=AuditResult.REFUSED, details={**details})
        await audit.append(tx, event)
        return PermissionDenied("USER_BANNED")

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
