"""The world outside: servers on this machine that behave as SMS providers document it, or as badly as a test wants."""

import asyncio
import datetime as dt
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from svoykrug_server.auth.sms.http_calls import MOST_ANSWER_BYTES

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
API_KEY = "key-b71c0f5e"
"""What every provider here knows its customer by."""


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it arrived."""

    method: str
    path: str
    query: Mapping[str, str]
    form: Mapping[str, str]
    body: str
    headers: Mapping[str, str]


@dataclass(slots=True)
class Provider:
    """A provider: answers as its documentation says, unless trouble is waiting.

    Attributes:
        received: Every request, in order.
        trouble: What the next requests meet instead of an answer.
        codes: Refusals of the next messages, by the provider's own codes.
        states: How messages stand, by the provider's id and its own codes.
        url: Where it is.
    """

    received: list[Received] = field(default_factory=list)
    trouble: list[Answer] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    states: dict[str, int] = field(default_factory=dict)
    url: str = ""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answers any request."""
        form = {name: str(value) for name, value in (await request.post()).items()}
        received = Received(
            request.method, request.path, dict(request.query), form, await request.text(), request.headers
        )
        self.received.append(received)
        if self.trouble:
            return await self.trouble.pop(0)(request)
        return self.answer(received)

    def answer(self, received: Received) -> web.Response:
        """Answers as documented."""
        raise AssertionError(received.path)

    def next_code(self) -> int | None:
        """Returns the refusal that the next message meets."""
        return self.codes.pop(0) if self.codes else None


class SmsRuProvider(Provider):
    """SMS.ru: https://sms.ru/api/send, https://sms.ru/api/status."""

    def answer(self, received: Received) -> web.Response:
        """Answers as documented: codes of the whole request at the top, those of a message beside it."""
        if received.form.get("api_id") != API_KEY:
            return web.json_response({"status": "ERROR", "status_code": 200, "status_text": "Неправильный api_id"})
        entries = self._sent(received) if received.path == "/sms/send" else self._states(received)
        return web.json_response({"status": "OK", "status_code": 100, "sms": entries, "balance": 4122.56})

    def _sent(self, received: Received) -> dict[str, Any]:
        phone = received.form["to"]
        if (code := self.next_code()) is not None:
            return {phone: {"status": "ERROR", "status_code": code, "status_text": f"refused {phone}"}}
        sms_id = f"000000-{10_000_000 + len(self.received)}"
        self.states[sms_id] = 100
        return {phone: {"status": "OK", "status_code": 100, "sms_id": sms_id}}

    def _states(self, received: Received) -> dict[str, Any]:
        return {
            sms_id: {"status": "OK", "status_code": self.states.get(sms_id, -1), "cost": 0.5, "status_text": "..."}
            for sms_id in received.form["sms_id"].split(",")
        }


class SmscProvider(Provider):
    """SMSC: https://smsc.ru/api/http/. A message keeps its customer's id; lists are lists when a comma says so."""

    def answer(self, received: Received) -> web.Response:
        """Answers as documented."""
        if received.form.get("apikey") != API_KEY and received.form.get("psw") != API_KEY:
            return web.json_response({"error": "authorise error", "error_code": 2})
        return self._sent(received) if received.path == "/sys/send.php" else self._states(received)

    def _sent(self, received: Received) -> web.Response:
        if (code := self.next_code()) is not None:
            return web.json_response({"error": f"refused {received.form['phones']}", "error_code": code, "id": 7})
        self.states[received.form["id"]] = -1
        return web.json_response({"id": received.form["id"], "cnt": 1})

    def _states(self, received: Received) -> web.Response:
        ids, phones = received.form["id"].split(","), received.form["phone"].split(",")
        entries = [
            {"status": self.states.get(sms_id, -3), "last_timestamp": 1_795_000_000, "err": 1, "id": sms_id, "phone": p}
            for sms_id, p in zip(ids, phones, strict=True)
            if sms_id
        ]
        return web.json_response(entries if len(ids) > 1 else entries[0])


class PlainProvider(Provider):
    """An API such as many have: JSON in, JSON out, the HTTP status says how it went."""

    def answer(self, received: Received) -> web.Response:
        """Takes a message, or says how one stands."""
        if received.method == "GET" and received.path.startswith("/messages/"):
            sms_id = received.path.removeprefix("/messages/")
            return web.json_response({"messages": [{"id": sms_id, "state": self.states.get(sms_id, 0)}]})
        if (code := self.next_code()) is not None:
            return web.json_response({"error": "refused"}, status=code)
        sms_id = f"m/{len(self.received)}?"
        return web.json_response({"messages": [{"id": sms_id}]}, status=202)


@asynccontextmanager
async def listening(provider: Provider, tls: ssl.SSLContext | None = None) -> AsyncIterator[None]:
    """Lets a provider listen for the length of the block."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", provider.serve)
    runner = web.AppRunner(application, shutdown_timeout=0.01, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    port = runner.addresses[0][1]
    provider.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{port}"
    try:
        yield
    finally:
        await runner.cleanup()


def self_signed(folder: Path) -> ssl.SSLContext:
    """Returns how a server behaves that shows a certificate which nobody but itself vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now, day = dt.datetime.now(dt.UTC), dt.timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = builder.add_extension(address, critical=False).sign(key, hashes.SHA256())
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain))
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(encoding))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context


def free_port() -> int:
    """Returns a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def status(code: int) -> Answer:
    """Returns trouble: a status without a useful body."""

    async def answered(_: web.Request) -> web.StreamResponse:
        return web.Response(status=code, text="<html>trouble</html>", headers={"location": "/elsewhere"})

    return answered


async def silence(_: web.Request) -> web.StreamResponse:
    """Trouble: no answer at all."""
    await asyncio.Event().wait()
    raise AssertionError


async def broken_off(request: web.Request) -> web.StreamResponse:
    """Trouble: the connection ends without an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def slow_body(request: web.Request) -> web.StreamResponse:
    """Trouble: an answer whose body drips and never ends."""
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.02)


async def huge_body(request: web.Request) -> web.StreamResponse:
    """Trouble: an answer without end, as fast as it is taken."""
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" " * MOST_ANSWER_BYTES)


async def garbage(_: web.Request) -> web.StreamResponse:
    """Trouble: an answer that is no JSON."""
    return web.Response(body=b"\xff\xfe{", content_type="application/json")


async def deep(_: web.Request) -> web.StreamResponse:
    """Trouble: JSON that nests deeper than a parser goes."""
    return web.Response(text="[" * 60_000, content_type="application/json")


async def another_shape(_: web.Request) -> web.StreamResponse:
    """Trouble: JSON of another shape."""
    return web.json_response(["not", "what", "was", "documented"])
