"""What operators ask over HTTP, on loopback: metrics, health and the doctor's questions."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from errno import EADDRINUSE
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from svoykrug_server.kit.startup import cannot_listen

Doctor = Callable[[], Awaitable[Mapping[str, Any]]]
DOCTOR_SECONDS = 10.0
_log = structlog.get_logger("svoykrug_server.rpc")
_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"
_Answer = tuple[HTTPStatus, str, bytes]


class Observability:
    """Serves `/metrics`, `/healthz`, `/readyz` and `/doctor` from a thread: a busy event loop can still be seen.

    Args:
        registry: The metrics.
        is_ready: Tells whether calls are taken.
        doctor: Tells what the server runs on and how it fares, as JSON values; runs on the event loop.
    """

    def __init__(self, registry: CollectorRegistry, is_ready: Callable[[], bool], doctor: Doctor) -> None:
        self._registry = registry
        self._is_ready = is_ready
        self._doctor = doctor
        self._server: ThreadingHTTPServer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self, host: str, port: int) -> int:
        """Starts serving; call it on the event loop.

        Args:
            host: The address to listen on: loopback, for nobody is asked who she is.
            port: 0 takes a free one.

        Returns:
            The port.

        Raises:
            CannotStart: The port is in use, or the address is wrong.
        """
        self._loop = asyncio.get_running_loop()
        try:
            self._server = ThreadingHTTPServer((host, port), _handler_for(self))
        except OSError as error:
            remedy = "SVOYKRUG_HTTP_PORT to another port" if error.errno == EADDRINUSE else "SVOYKRUG_HTTP_HOST"
            raise cannot_listen(f"{host}:{port}", error, remedy) from error
        self._server.daemon_threads = True
        Thread(target=self._server.serve_forever, name="observability", daemon=True).start()
        return self._server.server_address[1]

    async def stop(self) -> None:
        """Stops serving."""
        if self._server is not None:
            await asyncio.to_thread(self._server.shutdown)
            self._server.server_close()

    def answer(self, path: str, accept: str) -> _Answer:
        """Answers one request; runs in a thread of the HTTP server."""
        match path.partition("?")[0]:
            case "/metrics":
                encode, content_type = choose_encoder(accept)
                return HTTPStatus.OK, content_type, encode(self._registry)
            case "/healthz":
                return HTTPStatus.OK, _TEXT, b"alive\n"
            case "/readyz" if self._is_ready():
                return HTTPStatus.OK, _TEXT, b"ready\n"
            case "/readyz":
                return HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, b"not ready\n"
            case "/doctor":
                return self._examine()
            case _:
                return HTTPStatus.NOT_FOUND, _TEXT, b"ask for /metrics, /healthz, /readyz or /doctor\n"

    def _examine(self) -> _Answer:
        if self._loop is None:
            return HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, b"not ready\n"
        examination = asyncio.run_coroutine_threadsafe(_awaited(self._doctor), self._loop)
        try:
            report = examination.result(DOCTOR_SECONDS)
        except TimeoutError:
            examination.cancel()
            return HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, b"the event loop did not answer in time\n"
        return HTTPStatus.OK, _JSON, json.dumps(report, ensure_ascii=False, default=str).encode()


async def _awaited(doctor: Doctor) -> Mapping[str, Any]:
    return await doctor()


def _handler_for(observability: Observability) -> type[BaseHTTPRequestHandler]:
    """Returns the handler class that http.server makes one of for every request."""

    class Handler(BaseHTTPRequestHandler):
        server_version = "svoykrug"
        sys_version = ""
        timeout = 10.0

        def do_GET(self) -> None:
            try:
                status, content_type, body = observability.answer(self.path, self.headers.get("accept", ""))
            except Exception as error:  # noqa: BLE001 (whatever a collector or the doctor raises is told, not hidden)
                _log.error("observability failed", path=self.path, exc_info=error)
                status, content_type, body = HTTPStatus.INTERNAL_SERVER_ERROR, _TEXT, b"failed; the log says why\n"
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            """Says nothing: scrapes are not events."""

    return Handler
