"""The provider SMSC (СМС-центр), by its public documentation: https://smsc.ru/api/http/ (`send.php`, `status.php`).

Both are called by POST with `fmt=3` (JSON), so that password and text stand in no URL. The message's `id` is ours; the
provider need not have seen it once only, but refuses an equal request within a minute (error 9), so that a repeat after
a doubtful attempt sends nothing twice in that time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
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

NAME = "smsc"

FAULTS: Mapping[int, tuple[str, Fault]] = {
    1: ("request_refused", Fault.ACCOUNT),  # an error in the parameters
    2: ("key_refused", Fault.ACCOUNT),  # wrong login or password, or an IP address that the account does not allow
    3: ("no_money", Fault.ACCOUNT),  # not enough money on the account
    4: ("address_blocked", Fault.ACCOUNT),  # our IP address is blocked for a while, for too many wrong requests
    5: ("request_refused", Fault.ACCOUNT),  # a date in the wrong form
    6: ("text_refused", Fault.ACCOUNT),  # forbidden by its text or by the sender's name
    7: ("number_refused", Fault.MESSAGE),  # a number in the wrong form
    8: ("number_refused", Fault.MESSAGE),  # a message to this number cannot be delivered
    9: ("repeated_too_soon", Fault.PASSING),  # an equal request within a minute, or too many requests at once
}
"""What the documented error codes mean to us. Any other code is `code_...` and for a person to look at."""

STATES: Mapping[int, Delivery] = {
    -3: Delivery(DeliveryState.UNKNOWN),  # not found
    -2: Delivery(DeliveryState.UNDELIVERABLE, "stopped"),
    -1: Delivery(DeliveryState.QUEUED),  # waits to be sent
    0: Delivery(DeliveryState.SENT),  # with the operator
    1: Delivery(DeliveryState.DELIVERED),
    2: Delivery(DeliveryState.DELIVERED),  # read
    3: Delivery(DeliveryState.EXPIRED),
    4: Delivery(DeliveryState.DELIVERED),  # a link in it was opened
    20: Delivery(DeliveryState.UNDELIVERABLE, "unknown_reason"),  # impossible to deliver; the `err` says why
    22: Delivery(DeliveryState.UNDELIVERABLE, "number_wrong"),
    23: Delivery(DeliveryState.UNDELIVERABLE, "forbidden"),
    24: Delivery(DeliveryState.UNDELIVERABLE, "no_money"),
    25: Delivery(DeliveryState.UNDELIVERABLE, "number_unreachable"),
}
"""What the documented states of a message mean."""

REASONS: Mapping[int, str] = {
    1: "no_such_subscriber",
    6: "phone_off",
    11: "sms_not_provided",
    12: "phone_error",
    13: "subscriber_blocked",
    21: "sms_not_supported",
    219: "sim_replaced",
    220: "operator_queue_full",
    248: "no_route",
    249: "number_wrong",
    251: "number_limited",
    252: "number_forbidden",
    253: "spam_filter",
    254: "sender_refused",
    255: "rejected_by_operator",
}
"""Why a message was not delivered, as far as the documented `err` says more than the state."""


@dataclass(frozen=True, slots=True)
class SmscAccount:
    """An account at SMSC.

    Attributes:
        credentials: `login` and `psw`, or `apikey`, as the provider's fields.
        sender: The sender's name, agreed with the provider; empty: the account's default.
        url: Where the provider is; it names a second server, `https://www2.smsc.ru`.
    """

    credentials: Mapping[str, str] = field(repr=False)
    sender: str = ""
    url: str = "https://smsc.ru"


class Smsc:
    """Sends by SMSC and asks it about delivery.

    Args:
        http: Calls it.
        account: Whose messages they are.
    """

    name = NAME
    most_messages = 100

    def __init__(self, http: HttpCalls, account: SmscAccount) -> None:
        self._http = http
        self._account = account

    async def send(self, message: OutgoingSms) -> SmsReceipt:
        """Hands a message over.

        Raises:
            ProviderFailed: It was not taken, or nobody knows.
        """
        form = {"phones": message.phone, "mes": message.text, "id": message.idempotency_key}
        if self._account.sender:
            form["sender"] = self._account.sender
        answer = await self._call("/sys/send.php", form)
        return SmsReceipt(NAME, message_id_of(answer.get("id") if isinstance(answer, dict) else None))

    async def report(self, messages: Sequence[TakenSms]) -> Mapping[str, Delivery]:
        """Returns how messages stand, by the provider's id.

        Raises:
            ProviderFailed: It did not say.
        """
        ids, phones = [sms.provider_message_id for sms in messages], [sms.phone for sms in messages]
        # A comma after a single value asks for a list all the same.
        comma = "," if len(messages) == 1 else ""
        form = {"id": ",".join(ids) + comma, "phone": ",".join(phones) + comma}
        answer = await self._call("/sys/status.php", form)
        entries = answer if isinstance(answer, list) else [answer]
        return {str(entry["id"]): _delivery(entry) for entry in entries if isinstance(entry, dict) and "id" in entry}

    async def _call(self, path: str, form: Mapping[str, str]) -> Any:
        fields = {**self._account.credentials, "fmt": "3", "charset": "utf-8", **form}
        answer = await self._http.call(HttpRequest(self._account.url + path, form=fields))
        answer.check_status()
        parsed = answer.parsed()
        if isinstance(parsed, dict) and "error_code" in parsed:
            raise _failure(integer(parsed["error_code"]))
        return parsed


def _failure(code: int | None) -> ProviderFailed:
    if code is None:
        return unreadable()
    kind, fault = FAULTS.get(code, (f"code_{code}", Fault.ACCOUNT))
    return ProviderFailed(kind, fault)


def _delivery(entry: Mapping[str, Any]) -> Delivery:
    status = integer(entry.get("status"))
    known = Delivery(DeliveryState.UNKNOWN) if status is None else STATES.get(status, Delivery(DeliveryState.UNKNOWN))
    failure = known.failure and REASONS.get(integer(entry.get("err")) or 0, known.failure)
    return Delivery(known.state, failure, _instant(entry.get("last_timestamp")))


def _instant(timestamp: object) -> datetime | None:
    """Reads seconds since 1970, written as a number or as a text."""
    if isinstance(timestamp, bool) or not isinstance(timestamp, int | str):
        return None
    try:
        seconds = int(timestamp)
        return datetime.fromtimestamp(seconds, UTC) if seconds > 0 else None
    except (ValueError, OverflowError, OSError):
        return None
