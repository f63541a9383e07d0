"""The mix of calls of an evening, at a steady 1,000 calls a second, on one product process with everything it does."""

import asyncio
from collections import defaultdict
from statistics import quantiles
from uuid import uuid4

import grpc
from rich.console import Console
from svoykrug.analytics.v1 import analytics_service_pb2 as analytics_pb
from svoykrug.analytics.v1.analytics_service_pb2_grpc import AnalyticsServiceStub
from svoykrug.operations.v1.operations_service_pb2 import GetOperationRequest
from svoykrug.operations.v1.operations_service_pb2_grpc import OperationsServiceStub
from svoykrug.purchases.v1 import purchases_service_pb2 as purchases_pb
from svoykrug.purchases.v1.purchases_service_pb2_grpc import PurchasesServiceStub

from benchmarks.bench.figures import Figure, Measured
from benchmarks.bench.mix_callers import CALLS_A_SECOND, SHOP, WARM_SECONDS, Cast, Outcome, calling, purchase
from benchmarks.bench.stage import Stage, stage
from tests.e2e.circle import Person

SECONDS = 12.0
PEOPLE, PURCHASES_EACH = 300, 20
WAIT_SECONDS = 60.0


async def measure(rounds: int, console: Console) -> Measured:
    """Measures some rounds of the mix."""
    seen: dict[str, list[float]] = defaultdict(list)
    async with stage() as product:
        cast = await _cast(product)
        seen["server: MB at the beginning"].append(product.server.memory_mb())
        with calling(cast) as ask:
            for number in range(rounds):
                cpu_seconds = product.server.cpu_seconds()
                outcome: Outcome = await asyncio.to_thread(ask, CALLS_A_SECOND, SECONDS)
                used = product.server.cpu_seconds() - cpu_seconds
                seen["server: CPU cores"].append(used / (SECONDS + WARM_SECONDS))
                _note(seen, outcome)
                failures = dict(outcome.failures) or "no errors"
                console.print(f"mix, round {number + 1} of {rounds}: {failures}", style="dim")
        seen["server: MB at the end"].append(product.server.memory_mb())
    note = (
        f"{CALLS_A_SECOND:,} calls/s of {PEOPLE} members and one owner, {SECONDS:.0f} s a round, from a Python client"
        " on the same machine: its own delays are in the figures."
    )
    return {name: Figure.of(values) for name, values in seen.items()}, note


def _note(seen: dict[str, list[float]], outcome: Outcome) -> None:
    every = [took for of_method in outcome.milliseconds.values() for took in of_method]
    for name, took in {"all": every, **outcome.milliseconds}.items():
        cuts = quantiles(took, n=100)
        for percent in (50, 95, 99):
            seen[f"{name}: p{percent} ms"].append(cuts[percent - 1])
    seen["all: calls/s"].append(len(every) / SECONDS)
    seen["all: errors"].append(outcome.failures.total())


async def _cast(product: Stage) -> Cast:
    """Signs everybody in, records purchases, and makes a snapshot, so that every call has something to answer."""
    owner, *members = await product.people(PEOPLE + 1)
    await product.give_shop(owner, SHOP)
    channel = product.circle.channel
    for member in members:
        rows = [purchase(member.user_id) for _ in range(PURCHASES_EACH)]
        request = purchases_pb.BatchRecordPurchasesRequest(business_id=str(SHOP), purchases=rows)
        await PurchasesServiceStub(channel).BatchRecordPurchases(request, metadata=owner.metadata)
    await asyncio.sleep(2)  # the relay's turn: a snapshot counts what has arrived
    await _snapshot(channel, owner)
    people = [(person.user_id, person.tokens.access_token, person.tokens.refresh_token) for person in members]
    return Cast(product.server.target, people, owner.tokens.access_token)


async def _snapshot(channel: grpc.aio.Channel, owner: Person) -> None:
    request = analytics_pb.CreateSnapshotRequest(business_id=str(SHOP), request_id=str(uuid4()))
    made = (await AnalyticsServiceStub(channel).CreateSnapshot(request, metadata=owner.metadata)).operation
    operations, asked = OperationsServiceStub(channel), GetOperationRequest(operation_id=made.id)
    async with asyncio.timeout(WAIT_SECONDS):
        while not made.HasField("end_time"):
            await asyncio.sleep(0.1)
            made = (await operations.GetOperation(asked, metadata=owner.metadata)).operation
