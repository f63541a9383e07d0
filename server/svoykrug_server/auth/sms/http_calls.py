"""HTTP as all providers are called: bounded in time and size, with TLS verified, and with nothing of it in a log.

Every call has a connection of its own. Messages are few, and a connection kept open may be closed by the other side
just as a request leaves on it, after which nobody knows whether the SMS went out.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from yarl import URL

from svoykrug_server.auth.sms.model import Fault, ProviderFailed

MOST_ANSWER_BYTES = 64 * 1024
MOST_ID_CHARACTERS = 200
_CHUNK_BYTES = 8 * 1024
_TOO_MANY_REQUESTS = 429
_UNAVAILABLE = 503


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request to a provider; it never prints what it carries.

    Attributes:
        url: Where to; `https`, or `http` on this machine; percent-encoded already.
        method: `GET` or `POST`.
        headers: Headers beside those that HTTP itself needs.
        form: Fields of a form; encoded here.
        json_body: A body of JSON; encoded here.
    """

    url: str = field(repr=False)
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    json_body: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What a provider answered.

    Attributes:
        status: The HTTP status code.
        body: The body; at most `MOST_ANSWER_BYTES`.
    """

    status: int
    body: bytes = field(repr=False)

    def parsed(self) -> Any:
        """Returns the body, read as JSON; None where it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def check_status(self) -> None:
        """Refuses an answer whose status says that the request failed.

        Raises:
            ProviderFailed: 429 and 503: overloaded, and the message was not taken. Other 5xx: nobody knows. 3xx
                (redirects are not followed) and other 4xx: a person must mend the request or the account.
        """
        if 200 <= self.status < 300:
            return
        kind = f"http_{self.status}"
        if self.status in {_TOO_MANY_REQUESTS, _UNAVAILABLE}:
            raise ProviderFailed(kind, Fault.PASSING)
        if self.status >= 500:
            raise ProviderFailed(kind, Fault.PASSING, doubtful=True)
        raise ProviderFailed(kind, Fault.ACCOUNT)


class HttpCalls:
    """Calls providers.

    Args:
        timeout_seconds: How long one call may take from the name's resolution to the answer's last byte.
    """

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds, connect=timeout_seconds / 2)

    async def call(self, request: HttpRequest) -> HttpAnswer:
        """Makes one request and returns the answer, whatever its status.

        Raises:
            ProviderFailed: There was none in time, it was too large, or the other side is not who it should be. The
                failure says whether the request may have arrived.
        """
        try:
            return await self._call(request)
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError):
            raise ProviderFailed("tls_refused", Fault.ACCOUNT) from None
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            raise ProviderFailed("unreachable", Fault.PASSING) from None
        except TimeoutError:
            raise ProviderFailed("timeout", Fault.PASSING, doubtful=True) from None
        except aiohttp.ClientError:
            raise ProviderFailed("broken_off", Fault.PASSING, doubtful=True) from None

    async def _call(self, request: HttpRequest) -> HttpAnswer:
        connector = aiohttp.TCPConnector(force_close=True)
        session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), timeout=self._timeout, auto_decompress=False
        )
        async with (
            session,
            session.request(
                request.method,
                URL(request.url, encoded=True),
                headers={"accept-encoding": "identity", **request.headers},
                data=request.form,
                json=request.json_body,
                allow_redirects=False,
            ) as response,
        ):
            return HttpAnswer(response.status, await _bounded(response))


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        body += chunk
        if len(body) > MOST_ANSWER_BYTES:
            raise ProviderFailed("answer_too_large", Fault.PASSING, doubtful=True)
    return bytes(body)


def unreadable() -> ProviderFailed:
    """Returns the failure of an answer that says nothing: whether the message was taken nobody knows."""
    return ProviderFailed("answer_unreadable", Fault.PASSING, doubtful=True)


def message_id_of(value: object) -> str:
    """Returns a provider's id of a message, as a text.

    Raises:
        ProviderFailed: It is no id that can be kept.
    """
    text = str(value) if isinstance(value, str | int) else ""
    if not 1 <= len(text) <= MOST_ID_CHARACTERS or not text.isprintable():
        raise unreadable()
    return text


def integer(value: object) -> int | None:
    """Returns a code as an integer, whether an answer writes it as a number or as a text; None where it is neither."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    try:
        number = int(value)
    except ValueError:
        return None
    return number if -1_000 < number < 1_000 else None
