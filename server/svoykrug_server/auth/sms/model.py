"""What an SMS is, and who sends it."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID


class Template(StrEnum):
    """What an SMS says."""

    SIGN_IN_CODE = "sign_in_code"
    SESSION_COMPROMISED = "session_compromised"


@dataclass(frozen=True, slots=True)
class QueuedSms:
    """An SMS in the queue: what it says is made when it is sent, so that no code is ever stored.

    Attributes:
        message_id: A UUID of version 7.
        idempotency_key: What a provider drops repeats by.
        phone: E.164.
        template: What it says.
        challenge_id: Whose code it carries; None without one.
        pepper_kid: The pepper that code is derived with; None without one, and where the challenge is gone.
        locale: `ru` or `en`.
        expire_time: After it the message is worth nothing and is not sent; aware.
        attempt_count: Attempts so far, the one under way included.

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

    def __post_init__(self) -> None:
        if (self.template is Template.SIGN_IN_CODE) != (self.challenge_id is not None):
            raise ValueError("exactly a code's message names a challenge")


@dataclass(frozen=True, slots=True)
class OutgoingSms:
    """An SMS as it goes out.

    Attributes:
        idempotency_key: The same for every attempt at one message.
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


class SmsNotSent(Exception):
    """A provider did not take a message. `kind` is a word for logs and the queue; never the phone or the text.

    Args:
        kind: What happened, such as `timeout` or `number_refused`.
        again: Whether another attempt may succeed.
    """

    def __init__(self, kind: str, *, again: bool) -> None:
        super().__init__(kind)
        self.kind = kind
        self.again = again


class SmsSender(Protocol):
    """Sends SMS by one way: the console, or a provider."""

    async def send(self, message: OutgoingSms) -> SmsReceipt:
        """Hands a message over.

        Raises:
            SmsNotSent: It was not taken.
        """
        ...
