"""How long a client of gRPC's core keeps a dead connection, by its options: `python benchmarks/dead_connections.py`.

A connection is forgotten in mid-way (`tests/clients/bad_network.py`), under calls with a deadline of 1 s and under a
watch that was silent before; and a download goes over a slow link with a deep queue, which is alive. The cases run side
by side, since each does nothing but wait.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from svoykrug_server.rpc.options import RpcOptions
from tests.clients.bad_network import bad_network

TIME, TIMEOUT, PING = "grpc.keepalive_time_ms", "grpc.keepalive_timeout_ms", "grpc.http2.ping_timeout_ms"
ALWAYS, PROBE = "grpc.http2.max_pings_without_data", "grpc.http2.bdp_probe"
Options = dict[str, int]
DEAD: tuple[tuple[Options, float | None], ...] = (
    ({TIME: 60_000}, None),
    ({TIME: 12_000, TIMEOUT: 5_000}, None),
    ({TIME: 12_000, TIMEOUT: 5_000}, 0.5),
    ({TIME: 12_000, TIMEOUT: 5_000}, 100.0),
    ({TIME: 12_000, TIMEOUT: 5_000, PING: 20_000, ALWAYS: 0}, None),
    ({TIME: 12_000, TIMEOUT: 5_000, PING: 20_000, ALWAYS: 0}, 0.5),
    ({TIME: 12_000, TIMEOUT: 5_000, PING: 20_000, ALWAYS: 0}, 100.0),
)
"""The options, and for how long the watch was silent before; None for calls."""
SLOW: tuple[Options, ...] = (
    {TIME: 12_000, PING: 5_000},
    {TIME: 12_000, PING: 20_000},
    {TIME: 12_000, PING: 60_000},
    {TIME: 12_000, PING: 5_000, PROBE: 0},
)
SLOW_BYTES_A_SECOND, SLOW_SECONDS = 60_000, 50


async def nothing(_request: bytes, _context: object) -> bytes:
    """Answers a call."""
    return b""


async def watch(_request: bytes, _context: object) -> AsyncIterator[bytes]:
    """Answers once, and then never."""
    yield b""
    await asyncio.Event().wait()


async def download(_request: bytes, _context: object) -> AsyncIterator[bytes]:
    """Answers with what the slow link needs its time for."""
    for _ in range(SLOW_SECONDS):
        yield bytes(SLOW_BYTES_A_SECOND)


@asynccontextmanager
async def slow_link(port: int) -> AsyncIterator[int]:
    """Forwards to a port; answers come slowly, and wait in a queue as long as it takes."""

    async def forward(near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        far, out = await asyncio.open_connection("127.0.0.1", port, limit=SLOW_BYTES_A_SECOND * SLOW_SECONDS)

        async def sent() -> None:
            while part := await near.read(65_536):
                out.write(part)

        async def answered() -> None:
            while part := await far.read(SLOW_BYTES_A_SECOND // 10):
                back.write(part)
                await asyncio.sleep(len(part) / SLOW_BYTES_A_SECOND)

        ways = [asyncio.create_task(sent()), asyncio.create_task(answered())]
        _, other = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in other:
            way.cancel()
        back.close()
        out.close()

    async with await asyncio.start_server(forward, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def seconds_until(over: Callable[[], Awaitable[bool]]) -> float:
    """Returns how long it takes until something is over."""
    begin = time.monotonic()
    while not await over():
        pass
    return time.monotonic() - begin


async def dead(port: int, options: Options, silent_seconds: float | None) -> str:
    """Returns how long a connection that was forgotten was kept."""
    with bad_network(f"127.0.0.1:{port}") as network:
        async with grpc.aio.insecure_channel(network.target, options=list(options.items())) as channel:
            call: Any = channel.unary_unary("/bench/Nothing")
            await call(b"")
            watches: Any = channel.unary_stream("/bench/Watch")
            watching = None if silent_seconds is None else watches(b"")
            if watching is not None:
                await watching.read()
                await asyncio.sleep(silent_seconds or 0)
            network.forget_connections()

            async def given_up() -> bool:
                try:
                    await (watching.read() if watching is not None else call(b"", timeout=1.0))
                except grpc.aio.AioRpcError:
                    return watching is not None
                return True

            return f"{await seconds_until(given_up):.0f} s"


async def slow(port: int, options: Options) -> str:
    """Returns how a download over a slow link ended."""
    async with (
        slow_link(port) as linked,
        grpc.aio.insecure_channel(f"127.0.0.1:{linked}", options=list(options.items())) as channel,
    ):
        downloads: Any = channel.unary_stream("/bench/Download")
        begin = time.monotonic()
        try:
            parts = [len(part) async for part in downloads(b"")]
        except grpc.aio.AioRpcError:
            return f"cut off after {time.monotonic() - begin:.0f} s"
        return f"whole, {sum(parts)} bytes in {time.monotonic() - begin:.0f} s"


async def main() -> None:
    """Runs every case and prints how it ended."""
    server = grpc.aio.server(options=RpcOptions().channel_arguments())
    handlers: dict[str, Any] = {
        "Nothing": grpc.unary_unary_rpc_method_handler(nothing),
        "Watch": grpc.unary_stream_rpc_method_handler(watch),
        "Download": grpc.unary_stream_rpc_method_handler(download),
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("bench", handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    ends = await asyncio.gather(*(dead(port, *case) for case in DEAD), *(slow(port, options) for options in SLOW))
    await server.stop(0)
    table = Table("options", "what", "end")
    whats = ["calls" if silent is None else f"a watch, silent for {silent:.1f} s" for _, silent in DEAD]
    for options, what, end in zip(
        [*(options for options, _ in DEAD), *SLOW], [*whats, *["a slow link"] * len(SLOW)], ends, strict=True
    ):
        table.add_row(" ".join(f"{name.removeprefix('grpc.')}={value}" for name, value in options.items()), what, end)
    Console(width=180).print(table)


if __name__ == "__main__":
    asyncio.run(main())
