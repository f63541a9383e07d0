"""The description of a provider's HTTP API, as the setting `SVOYKRUG_SMS_HTTP` holds it: JSON, checked at the start."""

import ipaddress
import re
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from svoykrug_server.auth.sms.model import Delivery, DeliveryState
from svoykrug_server.kit.startup import CannotStart, ExitCode

PLACEHOLDER = re.compile(r"\{([a-z]+)\}")
"""`{phone}` is E.164, `{digits}` the same without the plus, `{text}` what the SMS says, `{id}` its id."""

PLACEHOLDERS = frozenset({"phone", "digits", "text", "id"})

_UNFIT_FOR_URL = re.compile(r"[^\x21-\x7e]")
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")

_CONFIG = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True)


class StatusQuestion(BaseModel):
    """How the provider is asked what became of a message: by GET, one message a request."""

    model_config = _CONFIG

    url: str = Field(repr=False)
    """Where; may hold `{id}` (the provider's), `{phone}` and `{digits}`."""
    code_path: str = Field(min_length=1)
    """Where the state stands in the answer, such as `messages.0.status`."""
    sent: frozenset[str] = frozenset()
    """Codes that mean: on its way."""
    delivered: frozenset[str] = Field(min_length=1)
    """Codes that mean: on the phone."""
    undeliverable: frozenset[str] = frozenset()
    """Codes that mean: it will not arrive."""
    expired: frozenset[str] = frozenset()
    """Codes that mean: given up after its time."""

    @model_validator(mode="after")
    def _asks_safely(self) -> Self:
        refuse_url(self.url)
        refuse_placeholders(self.url, PLACEHOLDERS - {"text"})
        return self

    def delivery(self, code: str | None) -> Delivery:
        """Returns what a code means; one that is not described means that nothing is known."""
        if code in self.delivered:
            return Delivery(DeliveryState.DELIVERED)
        if code in self.undeliverable:
            return Delivery(DeliveryState.UNDELIVERABLE, "undeliverable")
        if code in self.expired:
            return Delivery(DeliveryState.EXPIRED)
        return Delivery(DeliveryState.SENT if code in self.sent else DeliveryState.UNKNOWN)


class ProviderDescription(BaseModel):
    """A provider's API. It holds keys, so it never prints what it says."""

    model_config = _CONFIG

    name: str = Field(default="http", pattern=r"^[a-z][a-z0-9_]{0,31}$")
    """What the provider is called in metrics and receipts."""
    url: str = Field(repr=False)
    """Where messages are sent; placeholders in it are percent-encoded."""
    method: Literal["GET", "POST"] = "POST"
    """How."""
    headers: dict[str, str] = Field(default_factory=dict, repr=False)
    """Headers, such as the one that holds a key; without placeholders."""
    form: dict[str, str] | None = Field(default=None, repr=False)
    """The fields of a form, with placeholders in their values."""
    json_body: Any = Field(default=None, repr=False)
    """A body of JSON, with placeholders in its texts."""
    id_path: str = ""
    """Where the message's id stands in the answer, such as `messages.0.id`. Empty: the provider knows it by ours."""
    code_path: str = ""
    """Where the outcome's code stands in the answer. Empty: the code is the HTTP status."""
    taken: frozenset[str] = Field(default=frozenset({"200", "201", "202"}), min_length=1)
    """Codes that mean: taken."""
    number_refused: frozenset[str] = frozenset()
    """Codes that mean: nobody will deliver to this number."""
    again: frozenset[str] = frozenset()
    """Codes that mean: later. HTTP 429 and 5xx mean that anyway; any other code is for a person to look at."""
    status: StatusQuestion | None = None
    """How it is asked about delivery. Unset: it is not."""

    @model_validator(mode="after")
    def _sends_safely(self) -> Self:
        refuse_url(self.url)
        for template in (self.url, *(self.form or {}).values(), *_texts(self.json_body)):
            refuse_placeholders(template, PLACEHOLDERS)
        for name, value in self.headers.items():
            refuse_placeholders(value, frozenset())
            if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
                raise ValueError("a header is a name of letters, digits and dashes, and a value of ASCII on one line")
        if self.form is not None and self.json_body is not None:
            raise ValueError("form and json_body exclude each other")
        if self.method == "GET" and (self.form is not None or self.json_body is not None):
            raise ValueError("GET has no form and no json_body")
        return self


def read_description(text: str) -> ProviderDescription:
    """Reads a description.

    Raises:
        CannotStart: It is none; the line says what is wrong and repeats nothing of it.
    """
    try:
        return ProviderDescription.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        raise CannotStart(f"SVOYKRUG_SMS_HTTP{': ' if where else ''}{where}: {said}", ExitCode.SETTINGS) from None


def refuse_url(url: str) -> None:
    """Refuses a URL that is none, or that would carry phones and codes over a network in the clear.

    Raises:
        ValueError: It is neither https nor on this machine, or cannot be called.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("the URL cannot be called") from None
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_this_machine(host)):
        raise ValueError("the URL must begin with https://")
    if not host or port == 0 or "{" in parts.netloc or _UNFIT_FOR_URL.search(url):
        raise ValueError("the URL cannot be called")


def refuse_placeholders(template: str, allowed: frozenset[str]) -> None:
    """Refuses a text with a placeholder that nothing is put into.

    Raises:
        ValueError: There is one.
    """
    unknown = set(PLACEHOLDER.findall(template)) - allowed
    if unknown:
        raise ValueError(f"{{{min(unknown)}}} is no placeholder there")


def _texts(body: Any) -> list[str]:
    if isinstance(body, str):
        return [body]
    if isinstance(body, dict | list):
        return [text for part in (body.values() if isinstance(body, dict) else body) for text in _texts(part)]
    return []


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
