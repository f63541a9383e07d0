"""Use case: support's answer to "no code came"."""

from datetime import timedelta

from svoykrug_server.auth.accounts import Accounts
from svoykrug_server.auth.call import Call
from svoykrug_server.auth.repository import sms_deliveries as repository
from svoykrug_server.auth.sms.model import TracedSms
from svoykrug_server.kit.clock import Clock
from svoykrug_server.kit.errors import InvalidFields
from svoykrug_server.kit.phone import parse_phone
from svoykrug_server.storage import audit
from svoykrug_server.storage.audit import event_of_call
from svoykrug_server.storage.postgres import Postgres

TRACED = timedelta(days=7)
"""How far back a trace goes; messages are not kept longer."""

MOST_TRACED = 100


class CodeDeliveryTrace:
    """Says what became of the SMS to a phone. It never shows a code.

    Args:
        postgres: Where messages are kept.
        accounts: The people of the circle, for the audit trail.
        clock: Tells the time.
    """

    def __init__(self, postgres: Postgres, accounts: Accounts, clock: Clock) -> None:
        self._postgres = postgres
        self._accounts = accounts
        self._clock = clock

    async def trace(self, phone_text: str, call: Call) -> tuple[TracedSms, ...]:
        """Returns the SMS to a phone of the last 7 days, the newest first; at most 100. Who asked is audited.

        Args:
            phone_text: A phone number in any spelling.
            call: Who asks.

        Raises:
            InvalidFields: It is no phone number.
        """
        phone = parse_phone(phone_text)
        if phone is None:
            raise InvalidFields.of("phone", "must be a phone number")
        now = self._clock.now()
        async with self._postgres.transaction() as tx:
            account = await self._accounts.find_by_phone(tx, phone)
            target = None if account is None else ("user", str(account.user_id))
            await audit.append(tx, event_of_call(call, "CODE_DELIVERY_TRACED", now, target=target))
            return await repository.trace(tx, phone, now - TRACED, MOST_TRACED)
