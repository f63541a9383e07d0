"""A network between a client and the server that goes away and comes back, or ends in a server with a certificate."""

import asyncio
import ssl
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_PART_BYTES = 65_536


class BadNetwork:
    """Forwards connections to a server, from a thread of its own.

    Args:
        server_target: The server.
        identity: A folder of certificates (`certificates.py`) to speak TLS with, first the expired one; None: no TLS.

    Attributes:
        target: Where it listens.
        stalled: Whether no byte of an answer comes through.
        away: Whether no byte comes through, and there is no way for new connections.
    """

    def __init__(self, server_target: str, identity: Path | None) -> None:
        self._server_target = server_target
        self._identity = identity
        self._tls: ssl.SSLContext | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._tasks: set[asyncio.Task[None]] = set()
        self._ways: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.target = ""
        self.stalled = self.away = False

    def open(self) -> None:
        """Begins to forward."""
        if self._identity is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.set_alpn_protocols(["h2"])
            self.show("expired")
        self._thread.start()
        self._run(self._listen())

    def close(self) -> None:
        """Ends it and everything on it."""
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def show(self, name: str) -> None:
        """Shows a certificate, from the next connection on."""
        assert self._tls is not None
        assert self._identity is not None
        self._tls.load_cert_chain(self._identity / f"{name}.pem", self._identity / "key.pem")

    def end_connections(self) -> None:
        """Ends every connection, as a device does whose address is gone."""
        self._run(self._cancel())

    def forget_connections(self) -> None:
        """Lets no byte through on the connections there are, and tells neither side; new ones go through."""
        self._run(self._forget())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._join, "127.0.0.1", 0, ssl=self._tls)
        self.target = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _end(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._cancel()

    async def _forget(self) -> None:
        for way in self._ways:
            way.cancel()

    async def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _join(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._forward(near, back))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # Not in the task itself: one that is cancelled before it begins does nothing at all.
        task.add_done_callback(lambda _: back.transport.abort())

    async def _forward(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """Forwards both ways until either side ends."""
        if self.away:
            return
        with suppress(OSError):
            host, _, port = self._server_target.rpartition(":")
            far, out = await asyncio.open_connection(host, int(port))
            ways = {asyncio.ensure_future(self._sent(near, out)), asyncio.ensure_future(self._answered(far, back))}
            self._ways |= ways
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                if any(way.cancelled() for way in ways):
                    # It was forgotten: neither side hears of the other any more, not even that it has ended.
                    await asyncio.Event().wait()
            finally:
                self._ways -= ways
                out.transport.abort()
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)

    async def _sent(self, near: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
        while part := await near.read(_PART_BYTES):
            if not self.away:
                out.write(part)

    async def _answered(self, far: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        while part := await far.read(_PART_BYTES):
            if not (self.away or self.stalled):
                back.write(part)


@contextmanager
def bad_network(server_target: str, identity: Path | None = None) -> Iterator[BadNetwork]:
    """Runs a network before a server for one block; see `BadNetwork`."""
    network = BadNetwork(server_target, identity)
    network.open()
    try:
        yield network
    finally:
        network.close()
