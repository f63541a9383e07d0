"""Runs Envoy: starts it, starts it again when it ends, and stops it after the calls that are on it."""

import asyncio
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import structlog

from svoykrug_server.config import Settings
from svoykrug_server.gateway.admin import Admin
from svoykrug_server.gateway.certificate import CertificateFiles
from svoykrug_server.gateway.configuration import ADMIN_SOCKET, configuration

CONFIGURATION_FILE = "envoy.json"
STOP_SECONDS = 5.0
"""How long Envoy may take to end once it is told to."""
POLL_SECONDS = 0.05
"""How often a starting or draining Envoy is looked at."""
WATCH_SECONDS = 2.0
"""How often the certificate is looked at."""
_LOG_FORMAT = '{"event":"envoy","level":"%l","logger":"%n","message":"%j"}'
Answer = TypeVar("Answer")
_log = structlog.get_logger(__name__)


class EnvoyEnded(Exception):
    """Envoy ended though nobody told it to.

    Args:
        exit_code: What it ended with.
    """

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"exit code {exit_code}")


class Gateway:
    """One Envoy, for `kit.supervisor`: `run` is its job.

    Args:
        settings: Every setting.
        envoy: The program, from `find_envoy`.
        servers: The servers that it calls.
        folder: A folder of its own.
    """

    def __init__(self, settings: Settings, envoy: Path, servers: tuple[str, ...], folder: Path) -> None:
        self._settings = settings
        self._envoy = envoy
        self._servers = servers
        self._folder = folder
        self._admin = Admin(folder / ADMIN_SOCKET)
        self._certificate = CertificateFiles.of(settings, folder)
        self._live = False
        self._host, _, port = settings.gateway_listen.rpartition(":")
        self._port = int(port)

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"{self._host}:{self._port}"

    @property
    def is_live(self) -> bool:
        """Whether Envoy took calls when it was last looked at; it is looked at until it does."""
        return self._live

    async def run(self) -> None:
        """Runs Envoy until cancelled; then it ends at once.

        Raises:
            EnvoyEnded: It ended by itself.
        """
        self._write()
        process = self._launch()
        watching = asyncio.create_task(self._watch())
        try:
            raise EnvoyEnded(await asyncio.to_thread(process.wait))
        finally:
            watching.cancel()
            self._live = False
            await _end(process)

    async def announce_stop(self) -> None:
        """Tells load balancers and callers to go elsewhere; calls go on."""
        await self._ask(self._admin.announce_stop)

    async def finish_calls(self, at_once: asyncio.Event) -> None:
        """Waits until no call is in progress, no longer than the grace period or until `at_once` is set."""
        deadline = time.monotonic() + self._settings.grace_seconds
        while not at_once.is_set() and (await self._ask(self._admin.calls_in_progress) or 0) > 0:
            if time.monotonic() > deadline:
                _log.warning("gateway_not_drained")
                return
            await asyncio.sleep(POLL_SECONDS)

    def _launch(self) -> subprocess.Popen[bytes]:
        """Starts Envoy, out of reach of the terminal's Ctrl-C: it ends after the calls, when it is told to.

        Not by asyncio: uvloop forks, and gRPC, whose threads run already, complains of every fork.
        """
        command = [
            str(self._envoy), "--config-path", str(self._folder / CONFIGURATION_FILE),
            "--concurrency", str(self._settings.gateway_threads), "--use-dynamic-base-id",
            "--drain-strategy", "immediate", "--drain-time-s", str(max(1, round(self._settings.drain_seconds))),
            "--log-level", "warning", "--component-log-level", "main:error", "--log-format", _LOG_FORMAT,
        ]  # fmt: skip
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)

    def _write(self) -> None:
        text = json.dumps(configuration(self._settings, self._servers, self._port, self._folder))
        (self._folder / CONFIGURATION_FILE).write_text(text, "utf-8")
        if self._certificate is not None:
            self._certificate.offer()

    async def _watch(self) -> None:
        """Finds out when and where Envoy takes calls, then offers it its certificate again whenever that changes."""
        while not self._live:
            await asyncio.sleep(POLL_SECONDS)
            if port := await asyncio.to_thread(self._listening_port):
                self._port, self._live = port, True
        _log.info("gateway_ready", address=self.address)
        while self._certificate is not None:
            await asyncio.sleep(WATCH_SECONDS)
            if await asyncio.to_thread(self._certificate.offer_if_changed):
                _log.info("gateway_certificate_changed")

    def _listening_port(self) -> int:
        """Returns where Envoy takes calls; 0 when it does not yet."""
        try:
            return self._admin.port() if self._admin.is_live() else 0
        except OSError:
            return 0

    async def _ask(self, question: Callable[[], Answer]) -> Answer | None:
        """Returns None when Envoy does not answer: it has ended, and nothing is left to wait for."""
        try:
            return await asyncio.to_thread(question)
        except OSError as error:
            _log.warning("gateway_not_asked", reason=type(error).__name__)
            return None


async def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends Envoy, the hard way when it does not heed the soft one."""
    process.terminate()
    try:
        await asyncio.to_thread(process.wait, STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        await asyncio.to_thread(process.wait)
