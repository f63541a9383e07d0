"""Whether the time of StartSignIn tells who is known, and how many a second there are.

`python benchmarks/sign_in_timing.py`, from the root of the repository.

Starts a durable PostgreSQL in a folder of its own and the real server on a free port, and calls it over gRPC.

1. For numbers that are known, unknown and banned, in turns and in random order within each turn: the medians, and their
   ratios with a bootstrap interval. A ratio whose interval holds 1 tells a listener nothing.
2. Starts with 32 in flight over two servers: all to one country, whose count every start shares, and spread over ten.
"""

import asyncio
import random
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from ipaddress import ip_network
from itertools import count
from pathlib import Path
from uuid import uuid4

import grpc
import numpy as np
import uvloop
from prometheus_client import CollectorRegistry
from rich.console import Console
from rich.progress import track
from svoykrug.auth.v1 import auth_service_pb2 as pb
from svoykrug.auth.v1.auth_service_pb2_grpc import AuthServiceStub, add_AuthServiceServicer_to_server

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from svoykrug_server.auth.composition import auth_options, compose_auth
from svoykrug_server.auth.servicer import AuthServicer
from svoykrug_server.auth.signing_keys import SigningKeys
from svoykrug_server.auth.sms.metrics import SmsMetrics
from svoykrug_server.auth.sms.routes import SmsRoutes
from svoykrug_server.kit.clock import SystemClock
from svoykrug_server.rpc.logs import configure_logging
from svoykrug_server.rpc.options import RpcOptions
from svoykrug_server.rpc.server import RpcServer
from svoykrug_server.storage.embedded import EmbeddedPostgres
from svoykrug_server.storage.folder import DataFolder
from svoykrug_server.storage.migrate import migrate_postgres
from svoykrug_server.storage.postgres import Postgres, PostgresOptions
from svoykrug_server.storage.secrets import Secrets
from svoykrug_server.users.accounts import UserAccounts
from svoykrug_server.users.number_bans import NumberBans
from tests.conftest import isolated_settings

KINDS = ("known", "unknown", "banned")
TURNS, WARM_UP = 1_000, 100
RESAMPLES = 4_000
STARTS, IN_FLIGHT = 3_000, 32
COUNTRIES = ("49", "33", "34", "39", "43", "46", "351", "48", "31", "380")

_NUMBERS = count(1)


def address() -> tuple[tuple[str, str], ...]:
    """Returns the metadata of a call from an address that nobody used before, behind a trusted proxy."""
    number = next(_NUMBERS)
    return (("x-forwarded-for", f"100.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"),)


@contextmanager
def database() -> Iterator[str]:
    """Gives the URL of a durable PostgreSQL for one block."""
    parent = Path(tempfile.mkdtemp(prefix="svoykrug-timing-"))
    parent.chmod(0o711)
    folder = DataFolder(parent / "data")
    folder.open(0)
    server = EmbeddedPostgres.start(folder)
    yield server.url
    server.stop()
    shutil.rmtree(parent)


@asynccontextmanager
async def server(url: str, secrets: Secrets) -> AsyncIterator[AuthServiceStub]:
    """Runs one server for one block, with no other budget for countries than one that nobody spends."""
    settings = isolated_settings(
        code_home_prefixes=("7", *COUNTRIES),
        code_sends_per_home_prefix_hour=10**9,
        code_breaker_home_verified_percent=0,
    )
    postgres = await Postgres.connect(PostgresOptions(url))
    await migrate_postgres(postgres)
    options, registry, clock = auth_options(settings), CollectorRegistry(), SystemClock()
    keys = SigningKeys(postgres, secrets, clock, "ES256", options.keys)
    routes = SmsRoutes((), {}, SmsMetrics(registry))
    people = UserAccounts(lambda: None, NumberBans(secrets, timedelta(days=180)))
    auth = compose_auth(options, keys, postgres, secrets, clock, people, routes, frozenset(), registry)
    await auth.open()
    edge = RpcOptions(
        listen=("127.0.0.1:0",),
        max_calls_per_second_per_caller=1_000_000,
        trusted_proxies=(ip_network("127.0.0.0/8"),),
    )
    rpc = RpcServer(edge, auth.verifier, CollectorRegistry())
    add_AuthServiceServicer_to_server(AuthServicer(auth.use_cases), rpc.methods)
    await rpc.start()
    async with grpc.aio.insecure_channel(rpc.addresses[0]) as channel:
        yield AuthServiceStub(channel)
    await rpc.stop()
    await postgres.close()


async def enrol(url: str, phones: list[str], status: str) -> None:
    """Makes users who have phones."""
    postgres = await Postgres.connect(PostgresOptions(url))
    statement = (
        "INSERT INTO users (id, phone, status, referral_code, create_time, update_time) "
        "VALUES ($1, $2, $3, 'A' || right($2, 9), now(), now())"
    )
    async with postgres.transaction() as tx:
        await (await tx.driver()).executemany(statement, [(uuid4(), phone, status) for phone in phones])
    await postgres.close()


async def seconds_of(stub: AuthServiceStub, phone: str) -> float:
    """Returns how long one start took."""
    metadata = address()
    started = time.perf_counter()
    await stub.StartSignIn(pb.StartSignInRequest(phone=phone), metadata=metadata)
    return time.perf_counter() - started


async def time_kinds(stub: AuthServiceStub, phones: dict[str, list[str]]) -> np.ndarray:
    """Returns the seconds of each start, a row for each turn and a column for each kind."""
    rows = np.empty((TURNS, len(KINDS)))
    for turn in track(range(-WARM_UP, TURNS), "known, unknown, banned", console=Console(stderr=True)):
        for column in random.sample(range(len(KINDS)), len(KINDS)):
            rows[turn, column] = await seconds_of(stub, phones[KINDS[column]][turn + WARM_UP])
    return rows


def ratio(rows: np.ndarray, column: int) -> tuple[float, float, float]:
    """Returns the ratio of a kind's median to that of unknown numbers, and its 95 % bootstrap interval over turns."""
    drawn = np.random.default_rng(1).integers(0, len(rows), (RESAMPLES, len(rows)))
    medians = np.median(rows[drawn], axis=1)
    low, high = np.percentile(medians[:, column] / medians[:, 1], [2.5, 97.5])
    measured = np.median(rows, axis=0)
    return measured[column] / measured[1], low, high


async def starts_a_second(stubs: list[AuthServiceStub], prefixes: tuple[str, ...]) -> float:
    """Returns how many starts a second two servers make together for the numbers of some countries."""
    waiting = iter(range(STARTS))

    async def work(stub: AuthServiceStub) -> None:
        for number in waiting:
            prefix = prefixes[number % len(prefixes)]
            await stub.StartSignIn(pb.StartSignInRequest(phone=f"+{prefix}6{next(_NUMBERS):08d}"), metadata=address())

    started = time.perf_counter()
    async with asyncio.TaskGroup() as working:
        for number in range(IN_FLIGHT):
            working.create_task(work(stubs[number % len(stubs)]))
    return STARTS / (time.perf_counter() - started)


async def measure(url: str, secrets: Secrets) -> None:
    """Measures and prints."""
    console = Console(highlight=False)
    async with server(url, secrets) as one, server(url, secrets) as two:
        phones = {
            kind: [f"+7{900 + place}{number:07d}" for number in range(WARM_UP + TURNS)]
            for place, kind in enumerate(KINDS)
        }
        await enrol(url, phones["known"], "active")
        await enrol(url, phones["banned"], "banned")
        rows = await time_kinds(one, phones)
        for column, kind in enumerate(KINDS):
            median_ms, (found, low, high) = float(np.median(rows[:, column])) * 1e3, ratio(rows, column)
            console.print(
                f"{kind:8} median {median_ms:6.3f} ms   to unknown {found:5.3f}   95 %: {low:5.3f} to {high:5.3f}"
            )
        for name, prefixes in (("one country", COUNTRIES[:1]), ("ten countries", COUNTRIES)):
            rate = await starts_a_second([one, two], prefixes)
            console.print(f"{name:14} {rate:6.0f} starts a second, {IN_FLIGHT} in flight over two servers")


def main() -> None:
    """Starts PostgreSQL and measures."""
    with Path("/dev/null").open("w") as nowhere, database() as url:
        configure_logging(human=False, stream=nowhere)
        secrets = Secrets.load(Path(tempfile.mkdtemp(prefix="svoykrug-secrets-")))
        uvloop.run(measure(url, secrets))


if __name__ == "__main__":
    main()
