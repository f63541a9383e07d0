"""Two real servers on one PostgreSQL, each a process with its own connections, and the ways to disturb them."""

import asyncio
import json
import os
import secrets
import shutil
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import grpc
from svoykrug.auth.v1.auth_admin_service_pb2_grpc import AuthAdminServiceStub

from svoykrug_server.auth.codes import Codes
from svoykrug_server.storage.secrets import SecretName, Secrets
from tests.conftest import reachable_folder
from tests.e2e.circle import Circle
from tests.waiting import until

START_SECONDS = 90.0
SETTINGS = {
    "LISTEN": '["127.0.0.1:0"]',
    "HTTP_PORT": "0",
    "MINIMUM_FREE_DISK_MB": "0",
    "DATABASE_TRANSACTION_CONNECTIONS": "8",
    "DATABASE_READ_CONNECTIONS": "4",
    # Lives so short that keys can be rotated while a test waits.
    "ACCESS_TOKEN_LIFE_SECONDS": "10",
    "TOKEN_LEEWAY_SECONDS": "2",
    "JWKS_CACHE_SECONDS": "1",
    "SIGNING_KEYS_RELOAD_SECONDS": "0.5",
    "CODE_RESEND_SECONDS": "0",
}


@dataclass(frozen=True, slots=True)
class TwoServers:
    """Two servers that know of each other by PostgreSQL alone.

    Attributes:
        a: One of them.
        b: The other one; it has a database user of its own, so that its connections can be told from those of `a`.
        url: The database, as a user who may end connections.
        user_of_b: The database user of `b`.
    """

    a: Circle
    b: Circle
    url: str
    user_of_b: str

    @property
    def admin_at_a(self) -> AuthAdminServiceStub:
        """Keys, accounts and sessions, at `a`."""
        return AuthAdminServiceStub(self.a.channel)

    @property
    def admin_at_b(self) -> AuthAdminServiceStub:
        """Keys, accounts and sessions, at `b`."""
        return AuthAdminServiceStub(self.b.channel)

    async def read(self, query: str, *values: object) -> list[asyncpg.Record]:
        """Reads rows by a connection of its own: what is seen is committed."""
        connection = await asyncpg.connect(self.url)
        try:
            return await connection.fetch(query, *values)
        finally:
            await connection.close()

    async def end_listener_of_b(self) -> None:
        """Ends the connection on which `b` hears of revocations."""

        async def ended() -> bool:
            rows = await self.read(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE usename = $1 AND application_name = 'svoykrug-dedicated'",
                self.user_of_b,
            )
            return bool(rows)

        await until(ended)

    async def let_b_connect(self, allowed: bool) -> None:
        """Allows `b` new connections, or none; those it has stay."""
        await self.read(f"ALTER ROLE {self.user_of_b} CONNECTION LIMIT {-1 if allowed else 0}")


@asynccontextmanager
async def two_servers(url: str) -> AsyncIterator[TwoServers]:
    """Runs two servers for the length of the block.

    Args:
        url: A migrated database, as its superuser.
    """
    inline = {f"{name}.1": b64encode(secrets.token_bytes(32)).decode() for name in SecretName}
    folder = reachable_folder("svoykrug-two-servers-")
    try:
        async with _own_user(url) as (user, url_of_b):
            shared = {**SETTINGS, "SECRETS": json.dumps(inline)}
            starting_a = _started(_made(folder / "a"), {**shared, "DATABASE_URL": url})
            starting_b = _started(_made(folder / "b"), {**shared, "DATABASE_URL": url_of_b})
            async with starting_a as ready_a, starting_b as ready_b:
                targets = await asyncio.gather(ready_a, ready_b)
                codes = Codes(Secrets.load(generated=None, inline=inline))  # type: ignore[arg-type]  # no folder is read
                async with (
                    grpc.aio.insecure_channel(targets[0]) as channel_a,
                    grpc.aio.insecure_channel(targets[1]) as channel_b,
                ):
                    circles = Circle(channel_a, codes, targets[0]), Circle(channel_b, codes, targets[1])
                    yield TwoServers(*circles, url, user)
    finally:
        shutil.rmtree(folder)


def _made(folder: Path) -> Path:
    folder.mkdir(mode=0o711)
    return folder


@asynccontextmanager
async def _own_user(url: str) -> AsyncIterator[tuple[str, str]]:
    """Makes a database user who may do everything but connect without limit, and returns it and its URL."""
    parts = urlsplit(url)
    user, password = f"server_b_{os.getpid()}", secrets.token_hex(16)
    connection = await asyncpg.connect(url)
    await connection.execute(f"DROP ROLE IF EXISTS {user}")
    await connection.execute(f"CREATE ROLE {user} LOGIN PASSWORD '{password}' IN ROLE {parts.username}")
    try:
        yield user, parts._replace(netloc=f"{user}:{password}@{parts.netloc.rpartition('@')[2]}").geturl()
    finally:
        await connection.execute(f"DROP OWNED BY {user}")
        await connection.execute(f"DROP ROLE {user}")
        await connection.close()


@asynccontextmanager
async def _started(folder: Path, settings: Mapping[str, str]) -> "AsyncIterator[asyncio.Task[str]]":
    """Starts a server, gives a task that ends with where it takes calls, and stops it in order."""
    ready_file, log_file = folder / "ready.json", folder / "server.log"
    # Tests call faster than people do.
    fast = {"DRAIN_SECONDS": "0", "MAX_CALLS_PER_SECOND_PER_CALLER": "1000000"}
    own = {**fast, **settings, "DATA_DIR": str(folder / "data"), "READY_FILE": str(ready_file)}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SVOYKRUG_")}
    with log_file.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "svoykrug_server", "serve"),
            env={**inherited, **{f"SVOYKRUG_{name}": value for name, value in own.items()}},
            stdout=log,
            stderr=log,
        )

    async def ready() -> str:
        await until(lambda: ready_file.exists() or process.returncode is not None, START_SECONDS)
        assert process.returncode is None, log_file.read_text()
        return str(json.loads(ready_file.read_text())["addresses"][0])

    try:
        yield asyncio.create_task(ready())
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(START_SECONDS):
            assert await process.wait() == 0, log_file.read_text()[-5000:]
