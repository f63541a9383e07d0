"""Numbers that may have a new owner: operators give a number away again when it was silent for long.

Whoever has the number now can read its codes, so after a long silence a code alone opens no account. She tells the
birth date, or starts a new account; the old one then keeps what it has, without a phone. A member whom a partner
brought and who never signed in was last seen by the partner: what she bought is not for whoever has her number now.
"""

import hmac
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import Enum, auto

from svoykrug_server.auth.call import Call, event_of
from svoykrug_server.auth.code_judging import CodeJudge
from svoykrug_server.auth.model import Challenge, SignInAnswer
from svoykrug_server.auth.repository import last_seen
from svoykrug_server.kit.account import Account
from svoykrug_server.kit.errors import DomainError, FailedPrecondition
from svoykrug_server.storage import audit
from svoykrug_server.storage.audit import AuditResult
from svoykrug_server.storage.postgres import Transaction

WRONG_SPAN = timedelta(days=30)
"""How long a wrong birth date counts against its account."""


@dataclass(frozen=True, slots=True)
class SilenceLimits:
    """When a number may have a new owner; each number is a setting.

    Attributes:
        silent: How long without a sign-in or refresh.
        wrong_birth_dates: Wrong birth dates an account bears within 30 days.
    """

    silent: timedelta = timedelta(days=180)
    wrong_birth_dates: int = 3


class Owner(Enum):
    """Whose a number is."""

    SAME = auto()
    NEW = auto()


class SilentNumbers:
    """Tells whose a number is.

    Args:
        judge: Counts wrong guesses.
        limits: When a number may have a new owner.
    """

    def __init__(self, judge: CodeJudge, limits: SilenceLimits) -> None:
        self._judge = judge
        self._limits = limits

    async def owner(
        self,
        tx: Transaction,
        account: Account,
        challenge: Challenge,
        answer: SignInAnswer,
        call: Call,
        now: datetime,
    ) -> Owner | DomainError:
        """Tells whether who brings the right code is the account's person.

        Returns:
            Whose the number is, or the refusal: ACCOUNT_PROOF_REQUIRED, which leaves the code good, or
            BIRTH_DATE_WRONG.
        """
        seen_time = await last_seen.find(tx, account.user_id) or account.dealt_with_time
        if seen_time is None or now - seen_time < self._limits.silent:
            return Owner.SAME
        if answer.start_new_account:
            return Owner.NEW
        wrong = await last_seen.wrong_birth_dates(tx, account.user_id, now - WRONG_SPAN)
        left = self._limits.wrong_birth_dates - wrong
        if account.birth_date is None or left <= 0:
            return _proof_required(birth_date_known=False)
        if answer.birth_date is None:
            return _proof_required(birth_date_known=True)
        if _is_same(answer.birth_date, account.birth_date):
            return Owner.SAME
        return await self._wrong(tx, account, challenge, call, now, left - 1)

    async def _wrong(
        self, tx: Transaction, account: Account, challenge: Challenge, call: Call, now: datetime, left: int
    ) -> DomainError:
        await last_seen.count_wrong_birth_date(tx, account.user_id, now)
        target = ("user", str(account.user_id))
        await audit.append(tx, event_of(call, "BIRTH_DATE_WRONG", now, target=target, result=AuditResult.REFUSED))
        return await self._judge.wrong(tx, challenge, call, "BIRTH_DATE_WRONG", left)


def _proof_required(*, birth_date_known: bool) -> DomainError:
    known = "true" if birth_date_known else "false"
    return FailedPrecondition("ACCOUNT_PROOF_REQUIRED", metadata={"birth_date_known": known})


def _is_same(told: date, known: date) -> bool:
    return hmac.compare_digest(told.isoformat().encode(), known.isoformat().encode())
