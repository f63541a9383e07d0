"""What an SMS is, who sends it, and what became of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from svoykrug_server.auth.model import Purpose


class Template(StrEnum):
    """What an SMS says."""

    SIGN_IN_CODE = "sign_in_code"
    PHONE_CHANGE_CODE = "phone_change_code"
    PHONE_CHANGED = "phone_changed"
    SESSION_COMPROMISED = "session_compromised"


CODES: Mapping[Template, Purpose] = {
    Template.SIGN_IN_CODE: Purpose.SIGN_IN,
    Template.PHONE_CHANGE_CODE: Purpose.PHONE_CHANGE,
}
"""What the codes are good for of the templates that carry one."""


@dataclass(frozen=True, slots=True)
class QueuedSms:
    """An SMS in the queue: what it says is made when it is sent, so that no code is ever stored.

    Attributes:
        message_id: A UUID of version 7.
        idempotency_key: What it tells of: the queue holds one message for each.
        phone: E.164.
        template: What it says.
        challenge_id: Whose code it carries; None without one.
        pepper_kid: The pepper that code is derived with; None without one, and where the challenge is gone.
        locale: `ru` or `en`.
        expire_time: After it the message is worth nothing and is not sent; aware.
        attempt_count: Rounds of attempts so far, the one under way included.
        doubt_count: Attempts that may have reached her although nobody said so.

    Raises:
        ValueError: A code's message names no challenge, or another one does.
    """

    message_id: UUID
    idempotency_key: str
    phone: str = field(repr=False)
    template: Template
    challenge_id: UUID | None
    locale: str
    expire_time: datetime
    pepper_kid: str | None = None
    attempt_count: int = 0
    doubt_count: int = 0

    def __post_init__(self) -> None:
        if (self.template in CODES) != (self.challenge_id is not None):
            raise ValueError("exactly a code's message names a challenge")


@dataclass(frozen=True, slots=True)
class OutgoingSms:
    """An SMS as it goes out.

    Attributes:
        idempotency_key: The same for every attempt at one message, and no other's: 32 hexadecimal digits.
        phone: E.164.
        text: What it says.
        code: The code within the text, for a sender that shows it; None without one.
    """

    idempotency_key: str
    phone: str = field(repr=False)
    text: str = field(repr=False)
    code: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SmsReceipt:
    """What a provider says when it has taken a message.

    Attributes:
        provider: Who took it.
        provider_message_id: The provider's own id, to ask about delivery.
    """

    provider: str
    provider_message_id: str


class Fault(StrEnum):
    """Where a failure lies, which says what follows."""

    MESSAGE = "message"
    """Nobody will take this message, such as one to a number that does not exist: it is given up."""
    HERE = "here"
    """This provider takes nothing for this number now, such as one on its stop list: the next provider is asked."""
    PASSING = "passing"
    """The provider is overloaded or away: the next one is asked, and later this one again."""
    ACCOUNT = "account"
    """A person must mend something, such as an empty account: the next provider is asked, and it is logged loudly."""


class ProviderFailed(Exception):
    """A provider did not do what it was asked. `kind` is a word for logs, metrics and support; never phone or text.

    Args:
        kind: What happened, such as `timeout` or `number_refused`; one of few words, or `code_` and a small number.
        fault: Where the failure lies.
        doubtful: Whether the provider may have taken the message all the same, as after a timeout.
    """

    def __init__(self, kind: str, fault: Fault, *, doubtful: bool = False) -> None:
        super().__init__(kind)
        self.kind = kind
        self.fault = fault
        self.doubtful = doubtful


class SmsSender(Protocol):
    """Sends SMS by one way: the console, or a provider."""

    @property
    def name(self) -> str:
        """What it is called in settings, metrics and receipts."""
        ...

    async def send(self, message: OutgoingSms) -> SmsReceipt:
        """Hands a message over.

        Raises:
            ProviderFailed: It was not taken, or nobody knows.
        """
        ...


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to hand a message to a provider.

    Attributes:
        provider: Who was asked.
        attempt_time: When it ended; aware.
        outcome: `taken`, or the kind of its failure.
    """

    provider: str
    attempt_time: datetime
    outcome: str


TAKEN = "taken"
"""The outcome of an attempt that succeeded."""


class DeliveryState(StrEnum):
    """What a provider says became of a message it took."""

    QUEUED = "queued"
    SENT = "sent"
    DELIVERED = "delivered"
    UNDELIVERABLE = "undeliverable"
    EXPIRED = "expired"
    UNKNOWN = "unknown"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will come."""
        return self in {DeliveryState.DELIVERED, DeliveryState.UNDELIVERABLE, DeliveryState.EXPIRED}


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a provider says became of one message.

    Attributes:
        state: How it stands.
        failure: A word for why it did not arrive; None unless it is undeliverable.
        event_time: Since when, where the provider says so; aware.

    Raises:
        ValueError: There is a failure without an undeliverable message, or the other way round.
    """

    state: DeliveryState
    failure: str | None = None
    event_time: datetime | None = None

    def __post_init__(self) -> None:
        if (self.state is DeliveryState.UNDELIVERABLE) != (self.failure is not None):
            raise ValueError("exactly an undeliverable message has a failure")


@dataclass(frozen=True, slots=True)
class TakenSms:
    """A message that a provider took and has not yet said the last word about.

    Attributes:
        message_id: Its id here.
        provider: Who took it.
        provider_message_id: Its id there.
        phone: E.164; some providers want it beside their id.
        create_time: When it was queued; aware.
        take_time: When the provider took it; aware.
        status_check_count: How often the provider was asked about it, the question under way included.
    """

    message_id: UUID
    provider: str
    provider_message_id: str
    phone: str = field(repr=False)
    create_time: datetime
    take_time: datetime
    status_check_count: int


class DeliveryReporter(Protocol):
    """A provider that says what became of messages."""

    @property
    def most_messages(self) -> int:
        """How many messages it is asked about at once at most."""
        ...

    async def report(self, messages: Sequence[TakenSms]) -> Mapping[str, Delivery]:
        """Returns how messages stand, by the provider's id; what it does not know is left out.

        Raises:
            ProviderFailed: It did not say.
        """
        ...


@dataclass(frozen=True, slots=True)
class TracedSms:
    """What became of an SMS, for support.

    Attributes:
        template: What it says.
        state: `queued`, `sent`, `failed` or `expired`.
        create_time: When it was asked for; aware.
        end_time: When it was sent or given up; None while it waits.
        attempts: Every attempt, the first one first.
        delivery_state: What its provider says of it; None where nothing is known.
        delivery_time: When the provider said so last.
        failure: A word for what went wrong; empty when nothing did.
        verified: Whether its code came back right.
    """

    template: Template
    state: str
    create_time: datetime
    end_time: datetime | None
    attempts: tuple[Attempt, ...]
    delivery_state: DeliveryState | None
    delivery_time: datetime | None
    failure: str
    verified: bool
