"""Use cases: demo phones, with which the reviewers of app stores sign in without an SMS.

A demo phone is nobody's: where a real user has the number it is refused, and its own user has no member link, hence no
purchases, and can have no role. When it is taken away, or has expired and its number is signed in with for real, that
user keeps neither phone nor session.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from svoykrug_server.auth.accounts import Accounts
from svoykrug_server.auth.call import Call
from svoykrug_server.auth.codes import Codes
from svoykrug_server.auth.model import DemoPhone, Revocation
from svoykrug_server.auth.repository import challenges
from svoykrug_server.auth.repository import demo_phones as repository
from svoykrug_server.auth.revocations import Revocations
from svoykrug_server.auth.session_ends import SessionEnds
from svoykrug_server.kit.account import RevokeReason
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import Conflict, DomainError, InvalidFields
from svoykrug_server.kit.phone import parse_phone
from svoykrug_server.storage import audit
from svoykrug_server.storage.audit import AuditResult, event_of_call
from svoykrug_server.storage.postgres import Postgres, Transaction

LONGEST_LIFE = timedelta(days=90)


class DemoPhones:
    """Sets, lists and removes demo phones.

    Args:
        postgres: Where they are kept.
        accounts: The people of the circle.
        codes: Makes what is kept of a code.
        ends: Ends the sessions of a demo user.
        revocations: What this server knows to be ended.
        clock: Tells the time.
    """

    def __init__(
        self,
        postgres: Postgres,
        accounts: Accounts,
        codes: Codes,
        ends: SessionEnds,
        revocations: Revocations,
        clock: Clock,
    ) -> None:
        self._postgres = postgres
        self._accounts = accounts
        self._codes = codes
        self._ends = ends
        self._revocations = revocations
        self._clock = clock

    async def put(self, phone_text: str, code: str, expire_time: datetime, call: Call) -> DemoPhone:
        """Gives a phone a fixed code until it expires; codes of the phone that are out end.

        Args:
            phone_text: A phone number in any spelling.
            code: Six digits.
            expire_time: When it stops working, within 90 days; aware.
            call: Who asks.

        Raises:
            InvalidFields: It is no phone number, or the life is none or too long.
            Conflict: PHONE_TAKEN, a real user has the phone.
        """
        phone = _phone(phone_text)
        now = self._clock.now()
        if not now < expire_time <= now + LONGEST_LIFE:
            raise InvalidFields.of("expire_time", "must be ahead, and within 90 days")
        async with self._postgres.transaction() as tx:
            outcome = await self._put(tx, phone, code, expire_time, call)
        if isinstance(outcome, DomainError):
            raise outcome
        return outcome

    async def listed(self) -> Sequence[DemoPhone]:
        """Returns every demo phone, expired ones included, the newest first."""
        async with self._postgres.read() as connection:
            return await repository.listed(connection)

    async def remove(self, phone_text: str, call: Call) -> None:
        """Takes a demo phone away: codes that are out, the sessions of its user and her hold on the phone all end.

        Raises:
            InvalidFields: It is no phone number.
        """
        phone = _phone(phone_text)
        async with self._postgres.transaction() as tx:
            ended = await self._remove(tx, phone, call)
        for revocation in ended:
            self._revocations.hear(revocation)

    async def _put(
        self, tx: Transaction, phone: str, code: str, expire_time: datetime, call: Call
    ) -> DemoPhone | DomainError:
        await challenges.lock_phone(tx, phone)
        now = self._clock.now()
        account = await self._accounts.find_by_phone(tx, phone)
        if account is not None and not account.demo:
            target = ("user", str(account.user_id))
            refused = event_of_call(call, "DEMO_PHONE_SET", now, target=target)
            await audit.append(tx, replace(refused, result=AuditResult.REFUSED))
            return Conflict("PHONE_TAKEN")
        kid = self._codes.active_kid
        code_hash = self._codes.demo_hash(phone, code, kid)
        if code_hash is None:
            raise LookupError("the active pepper is missing")
        demo = DemoPhone(phone, code_hash, kid, now, expire_time)
        await challenges.end_open(tx, phone, now)
        create_time = await repository.put(tx, demo)
        await audit.append(
            tx, event_of_call(call, "DEMO_PHONE_SET", now, details={"expire_time": expire_time.isoformat()})
        )
        return replace(demo, create_time=create_time)

    async def _remove(self, tx: Transaction, phone: str, call: Call) -> tuple[Revocation, ...]:
        await challenges.lock_phone(tx, phone)
        now = self._clock.now()
        if not await repository.remove(tx, phone):
            return ()
        await challenges.end_open(tx, phone, now)
        account = await self._accounts.find_by_phone(tx, phone)
        user_id = account.user_id if account is not None and account.demo else None
        target = None if user_id is None else ("user", str(user_id))
        await audit.append(tx, event_of_call(call, "DEMO_PHONE_REMOVED", now, target=target))
        if user_id is None:
            return ()
        await self._accounts.release_phone(tx, user_id, now)
        return await self._ends.end(tx, user_id, RevokeReason.DEMO_ENDED)


def _phone(text: str) -> str:
    phone = parse_phone(text)
    if phone is None:
        raise InvalidFields.of("phone", "must be a phone number")
    return phone
