"""The synchronous client in a program of its own: Ctrl-C, a fork, an end in mid-call."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.client.conftest import ME
from tests.client.staged import Gate, StagedServer
from tests.waiting import until

HEAD = """
import multiprocessing, os, sys, threading
from concurrent.futures import CancelledError
from contextlib import suppress
from svoykrug.operations.v1.operations_service_pb2 import WatchOperationRequest
from svoykrug.users.v1.users_service_pb2 import GetMeRequest
from svoykrug_client.sync import Client

def me(client):
    return client.users.GetMe(GetMeRequest())

client = Client(sys.argv[1], insecure=True)
"""
INTERRUPTED = """
try:
    me(client)
except KeyboardInterrupt:
    print("interrupted", flush=True)
sys.stdin.readline()
print(me(client).user.display_name)
"""
ROWS_INTERRUPTED = """
def rows():
    os.kill(os.getpid(), 2)
    yield from ()
try:
    client.import_purchases("", rows)
except KeyboardInterrupt:
    print(me(client).user.display_name)
"""
FORKED = """
me(client)

def child(make):
    try:
        me(client if make is None else make())
    except RuntimeError as error:
        print(error, flush=True)

fork = multiprocessing.get_context("fork")
for make in (None, lambda: Client(sys.argv[1], insecure=True)):
    process = fork.Process(target=child, args=(make,))
    process.start()
    process.join(20)
    assert process.exitcode == 0, process.exitcode
print(me(client).user.display_name)
"""
LEFT_OPEN = """
me(client)
watch = client.operations.WatchOperation(WatchOperationRequest())

def wait():
    with suppress(CancelledError):
        me(client)

threading.Thread(target=wait, daemon=True).start()
sys.stdin.readline()
print("end", flush=True)
"""


@asynccontextmanager
async def program(server: StagedServer, source: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Runs a program that has a client of the server; it is killed when it does not end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", HEAD + source, server.target,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def ended(process: asyncio.subprocess.Process, typed: bytes = b"") -> tuple[int | None, str, str]:
    """Returns how a program ended and what it printed."""
    async with asyncio.timeout(30):
        printed, complained = await process.communicate(typed)
    return process.returncode, printed.decode(), complained.decode()


async def test_ctrl_c_cancels_the_call_and_the_client_goes_on(server: StagedServer) -> None:
    gate = Gate(ME)
    server.plays("GetMe", gate, ME)
    async with program(server, INTERRUPTED) as process:
        await until(lambda: gate.waiting == 1, seconds=30)
        process.send_signal(signal.SIGINT)
        await until(lambda: gate.cancelled == 1)
        assert await ended(process, b"\n") == (0, "interrupted\nАнна\n", "")


async def test_ctrl_c_in_the_rows_of_an_import_ends_the_import(server: StagedServer) -> None:
    server.plays("ImportPurchases", Gate(ME))
    async with program(server, ROWS_INTERRUPTED) as process:
        assert await ended(process) == (0, "Анна\n", "")


async def test_a_forked_process_is_told_to_make_its_clients_itself(server: StagedServer) -> None:
    async with program(server, FORKED) as process:
        code, printed, _ = await ended(process)
    assert code == 0
    assert printed.count("forked") == 2
    assert printed.endswith("Анна\n")


async def test_a_program_may_end_with_calls_under_way(server: StagedServer) -> None:
    call, watch = Gate(ME), Gate(ME)
    server.plays("GetMe", ME, call)
    server.plays("WatchOperation", [watch])
    async with program(server, LEFT_OPEN) as process:
        await until(lambda: call.waiting == watch.waiting == 1, seconds=30)
        assert await ended(process, b"\n") == (0, "end\n", "")
    await until(lambda: call.cancelled == watch.cancelled == 1)
