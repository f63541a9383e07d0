"""Where each microsecond of GetMe goes: the whole server in this process, asked layer by layer without a network.

A layer is asked with all that is below it, so that its own cost is a difference. What is counted is the processor time
of this process, ten calls at a time as under load: waiting for PostgreSQL is no cost of ours. What gRPC itself costs is
what `getme.py` sees a server use for a call beyond this.
"""

import asyncio
import os
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from itertools import pairwise
from statistics import median
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from rich.console import Console
from svoykrug.users.v1 import users_service_pb2 as pb

from benchmarks.bench.figures import Figure, Measured
from benchmarks.bench.getme import METHOD, STATEMENT
from benchmarks.bench.stage import own_folder, own_postgres
from benchmarks.edge_steps import Context
from svoykrug_server.kit.clock import SystemClock
from svoykrug_server.rpc.call import Call
from svoykrug_server.rpc.method import methods_of
from svoykrug_server.rpc.metrics import MethodMetrics
from svoykrug_server.rpc.tracing import MethodTracing
from svoykrug_server.rpc.validation import decoded, validate
from svoykrug_server.storage.migrate import migrate_postgres
from svoykrug_server.storage.migrate_warehouse import migrate_warehouse
from svoykrug_server.storage.postgres import Postgres, PostgresOptions
from svoykrug_server.storage.warehouse import Warehouse, WarehouseOptions
from svoykrug_server.users import repository
from svoykrug_server.users.convert import user_to_proto
from svoykrug_server.users.service import UsersService
from tests.e2e.circle import Metadata
from tests.e2e.running import Running, running
from tests.instructions import counted

_LIBRARY = os.__file__.removesuffix("os.py")
CALLS, AT_A_TIME = 2_000, 10
GET_ME = STATEMENT.read_text().replace(":user_id", "$1")
EDGE_STEPS = (
    "headers, id, language",
    "context, trailers, deadline, admission, client version",
    "token, revocation, access",
    "decode and validate",
    "metrics and a line in the log",
)
EDGE = "edge: every step"
Layer = Callable[[int], Awaitable[object]]
"""Calls once, for one of those who call at a time."""


class SignedIn(Context):
    """Answers as gRPC's context does for a call of a person.

    Args:
        metadata: What she calls with.
    """

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = (("user-agent", "grpc-python-asyncio"), *metadata)

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """Returns what she calls with."""
        return self._metadata


async def measure(rounds: int, console: Console) -> Measured:
    """Measures every layer in turn, and every step of the edge; in microseconds of processor time."""
    seen: dict[str, list[float]] = defaultdict(list)
    with own_folder() as folder, own_postgres(folder) as url:
        postgres = await Postgres.connect(PostgresOptions(url))
        await migrate_postgres(postgres)
        warehouse = Warehouse(WarehouseOptions(str(folder / "warehouse")), migrate_warehouse)
        await warehouse.prepare()
        async with running(postgres, warehouse, background_work=False) as served:
            person = await served.circle.sign_in("+79161234567")
            layers = await _layers(served, postgres, UUID(person.user_id), person.metadata)
            for number in range(rounds):
                below = 0.0
                for name, (layer, on_top) in layers.items():
                    took = await _cpu_us(layer)
                    seen[f"{name}: us"].append(took - below if on_top else took)
                    below = took if on_top else below
                for name, took in (await _edge(served, person.metadata)).items():
                    seen[f"edge, {name}: us"].append(took)
                for name, count in (await _instructions(layers[EDGE][0])).items():
                    seen[f"{name}: instructions"].append(count)
                console.print(f"steps of GetMe, round {number + 1} of {rounds}", style="dim")
        await warehouse.close()
        await postgres.close()
    for values in seen.values():
        values.extend([0.0] * (rounds - len(values)))  # a package that took no instruction in some rounds
    return {name: Figure.of(values) for name, values in seen.items()}, ""


async def _layers(
    served: Running, postgres: Postgres, user_id: UUID, metadata: Metadata
) -> dict[str, tuple[Layer, bool]]:
    """Returns the layers from the bottom up, and whether each asks all below it."""
    handler: Any = served.server.methods
    wrapped = handler.service(SimpleNamespace(method=METHOD, invocation_metadata=())).unary_unary
    profile, context = UsersService(postgres, SystemClock()), SignedIn(metadata)
    held = [await postgres.dedicated() for _ in range(AT_A_TIME)]
    answer = await wrapped(b"", context)

    async def borrowed(_: int) -> None:
        async with postgres.read() as connection:
            await connection.fetchrow(GET_ME, user_id)

    async def as_model(_: int) -> None:
        async with postgres.read() as connection:
            await repository.get(connection, user_id)

    async def as_message(_: int) -> None:
        pb.GetMeResponse(user=user_to_proto(await profile.get_me(user_id)))

    async def serialized(_: int) -> None:
        answer.SerializeToString()

    return {
        "asyncpg: the statement": (lambda caller: held[caller].fetchrow(GET_ME, user_id), True),
        "pool: borrow and give back": (borrowed, True),
        "row to model": (as_model, True),
        "model to message": (as_message, True),
        EDGE: (lambda _: wrapped(b"", context), True),
        "message to bytes": (serialized, False),
    }


async def _instructions(layer: Layer) -> Counter[str]:
    """Returns how many of Python's instructions a call takes, by package: the same in every run, however busy."""
    found: Counter[str] = Counter()
    for file, count in (await counted(lambda: layer(0))).items():
        found[f"Python, {_package(file)}"] += count
    return found


def _package(file: str) -> str:
    """Returns what a file of code is part of: a package of ours, a library, or a module of Python's own."""
    for begin, told in (("/svoykrug_server/", "svoykrug_server/"), ("/site-packages/", ""), (_LIBRARY, "")):
        if begin in file:
            return told + file.rpartition(begin)[2].partition("/")[0].removesuffix(".py")
    return "made at run time"


async def _cpu_us(layer: Layer) -> float:
    """Returns the processor time of this process for one call of a layer, ten at a time."""

    async def calls(caller: int) -> None:
        for _ in range(CALLS // AT_A_TIME):
            await layer(caller)

    began = time.process_time()
    await asyncio.gather(*map(calls, range(AT_A_TIME)))
    return (time.process_time() - began) / CALLS * 1e6


async def _edge(served: Running, metadata: Metadata) -> dict[str, float]:
    """Returns what each step of the edge takes, the median of many calls; reading the clock between costs 0.1 us."""
    steps = served.server._interceptor._steps  # noqa: SLF001  the very steps of the server that is measured
    method = methods_of("svoykrug.users.v1.UsersService")["GetMe"]
    metrics, trace = MethodMetrics(method.service, method.name), MethodTracing(method)
    loop, context, clock = asyncio.get_running_loop(), SignedIn(metadata), time.perf_counter
    spent: dict[str, list[float]] = defaultdict(list)
    for _ in range(CALLS):
        marks = [clock()]
        call = Call(method, metrics, steps, context)  # type: ignore[arg-type]  # it answers what the steps ask
        marks.append(clock())
        call.open(loop, trace)
        marks.append(clock())
        await call.authenticate(0)
        call.authorize(None)
        marks.append(clock())
        request = decoded(pb.GetMeRequest.FromString, b"")
        validate(request)
        marks.append(clock())
        call.close()
        marks.append(clock())
        for name, (begin, end) in zip(EDGE_STEPS, pairwise(marks), strict=True):
            spent[name].append(1e6 * (end - begin))
    return {name: median(took) for name, took in spent.items()}
