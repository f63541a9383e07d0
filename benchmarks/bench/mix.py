"""The mix of calls of an evening, at a steady 1,000 calls a second, on one product process with everything it does."""

import asyncio
import os
import resource
from collections import defaultdict
from itertools import cycle
from pathlib import Path
from uuid import uuid4

import grpc
import psutil
from rich.console import Console
from svoykrug.analytics.v1 import analytics_service_pb2 as analytics_pb
from svoykrug.analytics.v1.analytics_service_pb2_grpc import AnalyticsServiceStub
from svoykrug.operations.v1.operations_service_pb2 import GetOperationRequest
from svoykrug.operations.v1.operations_service_pb2_grpc import OperationsServiceStub
from svoykrug.purchases.v1 import purchases_service_pb2 as purchases_pb
from svoykrug.purchases.v1.purchases_service_pb2_grpc import PurchasesServiceStub

from benchmarks.bench.figures import Figure, Measured
from benchmarks.bench.mix_callers import CALLS_A_SECOND, SHOP, Cast, purchase
from benchmarks.bench.mix_readers import READERS, check, reading_beside
from benchmarks.bench.open_loop import WARM_SECONDS, Ask, Outcome, percentiles
from benchmarks.bench.processes import Server
from benchmarks.bench.stage import LIMITED, Stage, stage
from tests.e2e.circle import Person

SECONDS, EASY_SECONDS = 12.0, 6.0
EASY_CALLS_A_SECOND = CALLS_A_SECOND // 2
PEOPLE, OWNERS, PURCHASES_EACH = 300, 4, 20
WAIT_SECONDS = 60.0
EASY = f"all, at {EASY_CALLS_A_SECOND} calls/s"
CALLED = (
    f"Calls that are alike each time, 84 of 100, are made by h2load, each of its {READERS} processes one caller at a"
    " steady pace (ten members ask GetMe, two GetMyTier, two ListMyPurchases, four owners GetMemberInsight), and their"
    " time counts from when they were sent; those that need a new message each time by a Python client, and theirs"
    " counts from when they were due. All of it shares the machine, and how late calls began stands below. The"
    " insight of four members is asked for again and again, so the server keeps it: the first question costs 3 ms more"
    " on a quiet machine. A caller's limits are the default ones."
)
Seen = defaultdict[str, list[float]]


async def measure(rounds: int, console: Console) -> Measured:
    """Measures some rounds of the mix, each beside one at half the pace, which two cores take with ease."""
    seen: Seen = defaultdict(list)
    async with stage(LIMITED) as product:
        cast, _ = await cast_of(product)
        await check(cast)
        seen["server: MB at the beginning"].append(product.server.memory_mb())
        with reading_beside(cast, product.server) as ask:
            for number in range(rounds):
                outcome = await watched(seen, product.folder, product.server, ask, CALLS_A_SECOND, SECONDS)
                failures = dict(outcome.failures) or "no errors"
                console.print(f"mix, round {number + 1} of {rounds}: {failures}", style="dim")
                easy = await asyncio.to_thread(ask, EASY_CALLS_A_SECOND, EASY_SECONDS)
                for unit, value in percentiles(easy.every()).items():
                    seen[f"{EASY}: {unit}"].append(value)
        seen["server: MB at the end"].append(product.server.memory_mb())
    told = f"{CALLS_A_SECOND:,} calls/s of {PEOPLE} members and {OWNERS} owners, {SECONDS:.0f} s a round. {CALLED}"
    return {name: Figure.of(values) for name, values in seen.items()}, told


def _processor_seconds(folder: Path, server: Server) -> dict[str, float]:
    """Returns how much of the processor the server, PostgreSQL and the callers have used so far."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)  # h2load, which ends with its round
    used = {"server": server.cpu_seconds(), "PostgreSQL": 0.0, "callers": ended.ru_utime + ended.ru_stime}
    for process in psutil.process_iter(["cmdline"]):
        command = " ".join(process.info["cmdline"] or ())
        if str(folder) in command and "bin/postgres" in command:
            used["PostgreSQL"] += sum(map(_used, (process, *process.children(recursive=True))))
        if "multiprocessing" in command and process.ppid() == os.getpid():
            used["callers"] += _used(process)
    return used


def _used(process: psutil.Process) -> float:
    try:
        return float(sum(process.cpu_times()[:4]))  # its own, and that of its children which have ended
    except psutil.NoSuchProcess:  # ended since it was seen: its parent has what it used
        return 0.0


async def watched(
    seen: Seen, folder: Path, server: Server, ask: Ask, calls_a_second: float, seconds: float, who: str = ""
) -> Outcome:
    """Has calls made, and notes what became of them and how much of the processor they took.

    Args:
        seen: Where it is noted.
        folder: Where the server's PostgreSQL lies.
        server: Who is called.
        ask: Makes the calls.
        calls_a_second: How many.
        seconds: For how long.
        who: What the figures' names begin with.
    """
    begin, before = f"{who}, " if who else "", _processor_seconds(folder, server)
    outcome = await asyncio.to_thread(ask, calls_a_second, seconds)
    every_second = seconds + WARM_SECONDS
    used = {part: after - before[part] for part, after in _processor_seconds(folder, server).items()}
    seen[f"{begin}server: CPU cores"].append(used["server"] / every_second)
    note(seen, outcome, seconds, who)
    for part, part_seconds in used.items():
        seen[f"{begin}{part}: us of the processor a call"].append(1e6 * part_seconds / (calls_a_second * every_second))
    return outcome


def note(seen: Seen, outcome: Outcome, seconds: float, who: str = "") -> None:
    """Notes how long calls took, all together and by method, how many failed, and how late their caller was."""
    begin, every = f"{who}, " if who else "", outcome.every()
    late = "begun later than due"
    for name, took in {"all": every, **outcome.milliseconds, late: outcome.late_milliseconds}.items():
        for unit, value in percentiles(took).items():
            seen[f"{begin}{name}: {unit}"].append(value)
    seen[f"{begin}all: calls begun/s"].append(len(every) / seconds)
    seen[f"{begin}all: errors"].append(outcome.failures.total())


async def cast_of(product: Stage) -> tuple[Cast, Person]:
    """Signs everybody in, records purchases, and makes a snapshot, so that every call has something to answer.

    Returns:
        Who calls, and one owner of the business.
    """
    people = await product.people(OWNERS + PEOPLE)
    owners, members = people[:OWNERS], people[OWNERS:]
    await product.give_shop(SHOP, *owners)
    channel = product.circle.channel
    for member, owner in zip(members, cycle(owners), strict=False):
        rows = [purchase(member.user_id) for _ in range(PURCHASES_EACH)]
        request = purchases_pb.BatchRecordPurchasesRequest(business_id=str(SHOP), purchases=rows)
        await PurchasesServiceStub(channel).BatchRecordPurchases(request, metadata=owner.metadata)
    await asyncio.sleep(2)  # the relay's turn: a snapshot counts what has arrived
    await take_snapshot(channel, owners[0])
    known = [(person.user_id, person.tokens.access_token, person.tokens.refresh_token) for person in members]
    return Cast(product.server.target, known, [owner.tokens.access_token for owner in owners]), owners[0]


async def take_snapshot(channel: grpc.aio.Channel, owner: Person) -> None:
    """Makes a snapshot of the business and waits for its end."""
    request = analytics_pb.CreateSnapshotRequest(business_id=str(SHOP), request_id=str(uuid4()))
    made = (await AnalyticsServiceStub(channel).CreateSnapshot(request, metadata=owner.metadata)).operation
    operations, asked = OperationsServiceStub(channel), GetOperationRequest(operation_id=made.id)
    async with asyncio.timeout(WAIT_SECONDS):
        while not made.HasField("end_time"):
            await asyncio.sleep(0.1)
            made = (await operations.GetOperation(asked, metadata=owner.metadata)).operation
