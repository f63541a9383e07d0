"""The provider SMS.ru, by its public documentation: https://sms.ru/api/send and https://sms.ru/api/status.

Both methods are called by POST, so that the key and the text stand in no URL. The provider has no idempotency key: what
keeps it from sending a repeat is its limit on equal texts to one number (codes 231 to 233), and ours on doubtful
attempts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from svoykrug_server.auth.sms.http_calls import HttpCalls, HttpRequest, integer, message_id_of, unreadable
from svoykrug_server.auth.sms.model import (
    Delivery,
    DeliveryState,
    Fault,
    OutgoingSms,
    ProviderFailed,
    SmsReceipt,
    TakenSms,
)

NAME = "smsru"
DONE = 100
"""The request was carried out; on a message: it was taken, or waits in the provider's queue."""

FAULTS: Mapping[int, tuple[str, Fault]] = {
    # The number: written wrongly or without a route (202), without a route (207).
    202: ("number_refused", Fault.MESSAGE),
    207: ("number_refused", Fault.MESSAGE),
    # This number here: on our stop list (209) or the provider's (215), abroad for an account of Russia only (214).
    209: ("number_stopped", Fault.HERE),
    214: ("number_abroad", Fault.HERE),
    215: ("number_stopped", Fault.HERE),
    # This number now: too many messages a day (230), too many equal ones a minute (231) or a day (232), codes too soon
    # one after the other (233).
    230: ("number_limited", Fault.HERE),
    231: ("number_limited", Fault.HERE),
    232: ("number_limited", Fault.HERE),
    233: ("number_limited", Fault.HERE),
    # The service: not available for the moment (220), an error on its side (500).
    220: ("overloaded", Fault.PASSING),
    500: ("provider_error", Fault.PASSING),
    # The account: a wrong api_id (200, 301), a wrong token (300), not confirmed (302), no money (201), its daily limit
    # (206), the sender's name not agreed with the operator (204) or none of letters at all (221).
    200: ("key_refused", Fault.ACCOUNT),
    300: ("key_refused", Fault.ACCOUNT),
    301: ("key_refused", Fault.ACCOUNT),
    302: ("account_unconfirmed", Fault.ACCOUNT),
    201: ("no_money", Fault.ACCOUNT),
    206: ("account_limited", Fault.ACCOUNT),
    204: ("sender_refused", Fault.ACCOUNT),
    221: ("sender_refused", Fault.ACCOUNT),
    # The text: none (203), longer than 8 SMS (205), not UTF-8 (212), with a forbidden word (216).
    203: ("text_refused", Fault.ACCOUNT),
    205: ("text_refused", Fault.ACCOUNT),
    212: ("text_refused", Fault.ACCOUNT),
    216: ("text_refused", Fault.ACCOUNT),
}
"""What the documented codes mean to us. Any other code is `code_...` and for a person to look at."""

STATES: Mapping[int, Delivery] = {
    -1: Delivery(DeliveryState.UNKNOWN),
    100: Delivery(DeliveryState.QUEUED),
    101: Delivery(DeliveryState.QUEUED),
    102: Delivery(DeliveryState.SENT),
    103: Delivery(DeliveryState.DELIVERED),
    104: Delivery(DeliveryState.EXPIRED),
    105: Delivery(DeliveryState.UNDELIVERABLE, "deleted_by_operator"),
    106: Delivery(DeliveryState.UNDELIVERABLE, "phone_error"),
    107: Delivery(DeliveryState.UNDELIVERABLE, "unknown_reason"),
    108: Delivery(DeliveryState.UNDELIVERABLE, "rejected"),
    110: Delivery(DeliveryState.DELIVERED),
    150: Delivery(DeliveryState.UNDELIVERABLE, "no_route"),
}
"""What the documented states of a message mean: not found, queued, with the operator, on its way, delivered (103) or
read (110), its life over (104), or not to be delivered. The provider names no time."""


@dataclass(frozen=True, slots=True)
class SmsRuAccount:
    """An account at SMS.ru.

    Attributes:
        api_id: Its key.
        sender: The sender's name, agreed with the provider; empty: the account's default.
        test: Whether messages are only checked, not sent (`test=1`).
        url: Where the provider is.
    """

    api_id: str = field(repr=False)
    sender: str = ""
    test: bool = False
    url: str = "https://sms.ru"


class SmsRu:
    """Sends by SMS.ru and asks it about delivery.

    Args:
        http: Calls it.
        account: Whose messages they are.
    """

    name = NAME
    most_messages = 100

    def __init__(self, http: HttpCalls, account: SmsRuAccount) -> None:
        self._http = http
        self._account = account

    async def send(self, message: OutgoingSms) -> SmsReceipt:
        """Hands a message over.

        Raises:
            ProviderFailed: It was not taken, or nobody knows.
        """
        form = {"to": message.phone.removeprefix("+"), "msg": message.text}
        if self._account.sender:
            form["from"] = self._account.sender
        if self._account.test:
            form["test"] = "1"
        # One message was sent, so there is one entry, whatever spelling of the phone it stands under.
        for entry in (await self._call("/sms/send", form)).values():
            if (code := _code_of(entry)) != DONE:
                raise _failure(code)
            return SmsReceipt(NAME, message_id_of(entry.get("sms_id")))
        raise unreadable()

    async def report(self, messages: Sequence[TakenSms]) -> Mapping[str, Delivery]:
        """Returns how messages stand, by the provider's id.

        Raises:
            ProviderFailed: It did not say.
        """
        entries = await self._call("/sms/status", {"sms_id": ",".join(sms.provider_message_id for sms in messages)})
        unknown = Delivery(DeliveryState.UNKNOWN)
        return {sms_id: STATES.get(_code_of(entry) or 0, unknown) for sms_id, entry in entries.items()}

    async def _call(self, path: str, form: Mapping[str, str]) -> dict[str, Any]:
        """Makes a request and returns what the answer says of each message."""
        fields = {"api_id": self._account.api_id, "json": "1", **form}
        answer = await self._http.call(HttpRequest(self._account.url + path, form=fields))
        answer.check_status()
        parsed = answer.parsed()
        if (code := _code_of(parsed)) != DONE:
            raise _failure(code)
        entries = parsed.get("sms")
        if not isinstance(entries, dict):
            raise unreadable()
        return entries


def _code_of(entry: object) -> int | None:
    return integer(entry.get("status_code")) if isinstance(entry, dict) else None


def _failure(code: int | None) -> ProviderFailed:
    if code is None:
        return unreadable()
    kind, fault = FAULTS.get(code, (f"code_{code}", Fault.ACCOUNT))
    return ProviderFailed(kind, fault)
