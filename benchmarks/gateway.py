"""What the gateway adds to a call: `python benchmarks/gateway.py`, from the root of the repository.

`svoykrug serve --gateway` runs as a process, and one caller calls GetMe again and again: straight by gRPC, by gRPC
through the gateway, and as JSON through it. The ways take turns, so that whatever else the machine does meets all of
them; a figure is taken of all calls of its way.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import aiohttp
import grpc
from rich.console import Console
from svoykrug.users.v1.users_service_pb2 import GetMeRequest
from svoykrug.users.v1.users_service_pb2_grpc import UsersServiceStub

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.gateway.test_processes import Started, started
from tests.waiting import until

ROUNDS = 20
CALLS_A_ROUND = 100
CONSENTS = [
    {"kind": kind, "version": "2026-11", "granted": True}
    for kind in ("CONSENT_KIND_TERMS", "CONSENT_KIND_PERSONAL_DATA")
]
Call = Callable[[], Awaitable[object]]


async def main() -> None:
    """Starts the service, calls each way in turns, and prints what the calls took."""
    async with (
        started("serve", "--gateway") as run,
        aiohttp.ClientSession(f"http://{run.facts['gateway']}") as session,
        grpc.aio.insecure_channel(run.facts["addresses"][0]) as straight,
        grpc.aio.insecure_channel(run.facts["gateway"]) as through,
    ):
        metadata = (("authorization", f"Bearer {await token(session, run)}"),)

        async def as_json() -> object:
            async with session.get("/v1/users/me", headers=dict(metadata)) as answer:
                answer.raise_for_status()
                return await answer.read()

        ways: dict[str, Call] = {
            "gRPC, straight": lambda: UsersServiceStub(straight).GetMe(GetMeRequest(), metadata=metadata),
            "gRPC, through the gateway": lambda: UsersServiceStub(through).GetMe(GetMeRequest(), metadata=metadata),
            "JSON, through the gateway": as_json,
        }
        taken: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(ROUNDS):
            for way, call in ways.items():
                taken[way] += [await timed(call) for _ in range(CALLS_A_ROUND)]
    for way, milliseconds in taken.items():
        p95 = statistics.quantiles(milliseconds, n=20)[18]
        Console().print(f"{way:<28} p50 {statistics.median(milliseconds):6.2f} ms   p95 {p95:6.2f} ms")


async def timed(call: Call) -> float:
    """Returns the milliseconds of one call."""
    began = time.perf_counter()
    await call()
    return (time.perf_counter() - began) * 1e3


async def token(session: aiohttp.ClientSession, run: Started) -> str:
    """Signs a person in, and returns her access token."""
    async with session.post("/v1/auth/sign-in:start", json={"phone": "+79991234567"}) as answer:
        challenge_id = (await answer.json())["challenge"]["challenge_id"]
    await until(lambda: "#" in run.printed)
    code = run.printed.rpartition("#")[2][:6]
    proof = {"challenge_id": challenge_id, "code": code, "request_id": str(uuid4()), "consents": CONSENTS}
    async with session.post("/v1/auth/sign-in:complete", json=proof) as answer:
        return str((await answer.json())["tokens"]["access_token"])


if __name__ == "__main__":
    asyncio.run(main())
