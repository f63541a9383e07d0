"""The service of the demo: its own process in its own folder, used as any operator would."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import grpc.aio
from svoykrug import errors
from svoykrug.users.v1.user_pb2 import CONSENT_KIND_PERSONAL_DATA, CONSENT_KIND_TERMS, ConsentGrant

from demo.source import CURRENCY_CODE
from svoykrug_client import Client, ServiceKey

ADMIN_PHONE = "+79000009999"
SCOPES = (
    "analytics.read",
    "analytics.write",
    "operations.read",
    "purchases.write",
    "users.write",
)
CONSENTS = [
    ConsentGrant(kind=kind, version="2026-11", granted=True)
    for kind in (CONSENT_KIND_TERMS, CONSENT_KIND_PERSONAL_DATA)
]
# The line by which a telephone fills the code in by itself: `@host #123456`.
_CODE = re.compile(r"@\S+ #(\d{6})")
_RESEND = timedelta(seconds=60)
_START_SECONDS, _CODE_SECONDS, _STOP_SECONDS = 60.0, 20.0, 30.0


@dataclass(frozen=True, slots=True)
class Service:
    """The running service.

    Attributes:
        target: Where it listens.
        folder: Its data folder.
        console: What it has printed so far, line by line.
    """

    target: str
    folder: Path
    console: list[str]

    async def code_after(self, lines_before: int) -> str:
        """Returns the code that the console sender showed after a line."""
        async with asyncio.timeout(_CODE_SECONDS):
            while True:
                for line in self.console[lines_before:]:
                    if found := _CODE.search(line):
                        return found.group(1)
                await asyncio.sleep(0.05)


def environment(folder: Path, target: str) -> dict[str, str]:
    """Returns the environment of the service: a folder of its own, UTC, the currency of the data, and all its years."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("SVOYKRUG_")},
        "SVOYKRUG_DATA_DIR": str(folder),
        "SVOYKRUG_LISTEN": f'["{target}"]',
        "SVOYKRUG_CIRCLE_CURRENCY_CODE": CURRENCY_CODE,
        "SVOYKRUG_CIRCLE_TIME_ZONE": "UTC",
        "SVOYKRUG_HTTP_PORT": "0",
        "SVOYKRUG_DRAIN_SECONDS": "0",
        # Everybody of the demo calls from one address, as fast as the service answers.
        "SVOYKRUG_MAX_CALLS_PER_SECOND_PER_CALLER": "1000000",
        "SVOYKRUG_WAREHOUSE_RETENTION_MONTHS": "0",
    }


@asynccontextmanager
async def running(folder: Path, target: str) -> AsyncIterator[Service]:
    """Starts the service, waits until it answers, and stops it at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "svoykrug_server", "serve",
        env=environment(folder, target), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    console: list[str] = []
    if process.stdout is None:
        raise RuntimeError("the service's output is a pipe")
    reader = asyncio.create_task(_read(process.stdout, console))
    try:
        await _until_ready(process, target, console)
        yield Service(target, folder, console)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.wait(), _STOP_SECONDS)
        await reader


async def _read(stream: asyncio.StreamReader, console: list[str]) -> None:
    while line := await stream.readline():
        console.append(line.decode(errors="replace").rstrip())


async def _until_ready(process: asyncio.subprocess.Process, target: str, console: list[str]) -> None:
    async with grpc.aio.insecure_channel(target) as channel:
        ready = asyncio.ensure_future(channel.channel_ready())
        ended = asyncio.ensure_future(process.wait())
        await asyncio.wait({ready, ended}, timeout=_START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if not ready.done():
            ready.cancel()
            raise SystemExit("The service did not start:\n" + "\n".join(console[-20:]))


async def command(service: Service, *arguments: str) -> str:
    """Runs `svoykrug` beside the running service and returns what it printed; ends the demo when it fails."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "svoykrug_server", *arguments,
        env=environment(service.folder, service.target),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    printed, _ = await process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"svoykrug {' '.join(arguments)} failed:\n{printed.decode(errors='replace')}")
    return printed.decode()


async def signed_in_admin(service: Service) -> Client:
    """Makes the first admin on the command line, then signs her in with the code on the service's console."""
    await command(service, "admin", "grant", ADMIN_PHONE, "superadmin")
    client = Client(service.target, insecure=True, language="en")
    lines_before = len(service.console)
    try:
        challenge = await client.start_sign_in(ADMIN_PHONE)
    except errors.ResendTooSoon as error:
        # The demo was run a moment ago: the limit holds for it as for anybody.
        await asyncio.sleep((error.retry_after or _RESEND).total_seconds())
        challenge = await client.start_sign_in(ADMIN_PHONE)
    code = await service.code_after(lines_before)
    await client.complete_sign_in(challenge, code, consents=CONSENTS, device_name="make demo")
    return client


async def service_client(service: Service) -> Client:
    """Returns a client of the demo's service account, created on the command line at the first run."""
    key_file = service.folder / "demo-service-key.json"
    if not key_file.exists():
        scopes = [part for scope in SCOPES for part in ("--scope", scope)]
        await command(service, "keys", "create-service-account", "demo", *scopes, "--key-file", str(key_file))
    return Client(service.target, insecure=True, service_key=ServiceKey.from_file(key_file), language="en")
