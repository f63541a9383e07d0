"""What a call costs in the Python clients: `python benchmarks/python_clients.py`, from the root of the repository.

A server in a process of its own answers GetMe at once, so that what is left is the clients. One caller calls again and
again: by the bare stubs of grpc, blocking and asynchronous, which know no token, deadline or typed error, and by our
two clients. The ways take turns, so that whatever else the machine does meets all of them.
"""

import asyncio
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import grpc
import grpc.aio
from rich.console import Console
from svoykrug.users.v1.users_service_pb2 import GetMeRequest
from svoykrug.users.v1.users_service_pb2_grpc import UsersServiceStub

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from svoykrug_client import Client, MemoryTokenStore, StoredSession, sync
from tests.client.conftest import ME, USER_ID, refreshed
from tests.client.staged import StagedServer

ROUNDS = 15
CALLS_A_ROUND = 200
CALLERS = 16
REQUEST = GetMeRequest()


def signed_in() -> MemoryTokenStore:
    """Returns the store of a person who has signed in."""
    store = MemoryTokenStore()
    store.save(StoredSession(USER_ID, "refresh token"))
    return store


def main() -> None:
    """Calls each way in turns, and prints what the calls took."""
    with serving() as target, asyncio.Runner() as runner:
        bare = UsersServiceStub(grpc.insecure_channel(target))  # type: ignore[arg-type]  # the stubs know grpc.aio only
        bare_async, client = runner.run(opened(target))
        blocking = sync.Client(target, insecure=True, token_store=signed_in())
        ways: dict[str, Callable[[int], list[float]]] = {
            "grpc, bare stub": lambda callers: in_threads(bare.GetMe, callers),
            "svoykrug_client.sync": lambda callers: in_threads(blocking.users.GetMe, callers),
            "grpc.aio, bare stub": lambda callers: runner.run(in_tasks(bare_async, callers)),
            "svoykrug_client": lambda callers: runner.run(in_tasks(client.users, callers)),
        }
        for callers in (1, CALLERS):
            measure(ways, callers)
        blocking.close()
        runner.run(client.close())


def measure(ways: dict[str, Callable[[int], list[float]]], callers: int) -> None:
    """Runs every way in turns and prints a line for each."""
    taken: dict[str, list[float]] = {way: [] for way in ways}
    wall: dict[str, float] = dict.fromkeys(ways, 0.0)
    cpu: dict[str, float] = dict.fromkeys(ways, 0.0)
    for _ in range(ROUNDS):
        for way, calls in ways.items():
            began, began_cpu = time.perf_counter(), time.process_time()
            taken[way] += calls(callers)
            wall[way] += time.perf_counter() - began
            cpu[way] += time.process_time() - began_cpu
    for way, seconds in taken.items():
        Console().print(
            f"{callers:>2} callers, {way:<20}: median {statistics.median(seconds) * 1e6:.0f} us, "
            f"{cpu[way] / len(seconds) * 1e6:.0f} us of processor a call, {len(seconds) / wall[way]:.0f} calls/s",
            soft_wrap=True,
        )


def in_threads(call: Callable[[GetMeRequest], object], callers: int) -> list[float]:
    """Returns the seconds of each call, made by so many threads."""

    def calls(count: int) -> list[float]:
        seconds = []
        for _ in range(count):
            began = time.perf_counter()
            call(REQUEST)
            seconds.append(time.perf_counter() - began)
        return seconds

    with ThreadPoolExecutor(callers) as threads:
        return [second for part in threads.map(calls, [CALLS_A_ROUND // callers] * callers) for second in part]


async def in_tasks(stub: UsersServiceStub, callers: int) -> list[float]:
    """Returns the seconds of each call, made by so many tasks."""

    async def calls(count: int) -> list[float]:
        seconds = []
        for _ in range(count):
            began = time.perf_counter()
            await stub.GetMe(REQUEST)
            seconds.append(time.perf_counter() - began)
        return seconds

    parts = await asyncio.gather(*(calls(CALLS_A_ROUND // callers) for _ in range(callers)))
    return [second for part in parts for second in part]


async def opened(target: str) -> tuple[UsersServiceStub, Client]:
    """Returns a bare stub and a client on the running loop."""
    return UsersServiceStub(grpc.aio.insecure_channel(target)), Client(target, insecure=True, token_store=signed_in())


@contextmanager
def serving() -> Iterator[str]:
    """Runs the server in a process of its own; gives its address."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send("stop")
        process.join()


def serve(pipe: Connection) -> None:
    """Answers calls until it is told to stop."""

    async def run() -> None:
        staged = StagedServer()
        staged.plays("GetMe", ME)
        staged.plays("RefreshTokens", refreshed("refresh token", 3600.0))
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((staged,))
        pipe.send(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
        await server.start()
        await asyncio.to_thread(pipe.recv)
        await server.stop(None)

    asyncio.run(run())


if __name__ == "__main__":
    main()
