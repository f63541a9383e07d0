"""A cable to a database that a test can cut, mend and hush."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit


class Cable:
    """Carries bytes between a local port and a database.

    Args:
        url: The database's URL.
    """

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._writers: list[asyncio.StreamWriter] = []
        self._carrying: set[asyncio.Task[None]] = set()
        self._port = 0
        self._speaking = asyncio.Event()
        self._speaking.set()
        self.is_cut = False

    @property
    def url(self) -> str:
        """The database's URL through this cable."""
        credentials = self._parts.netloc.rpartition("@")[0]
        return self._parts._replace(netloc=f"{credentials}@127.0.0.1:{self._port}").geturl()

    @asynccontextmanager
    async def laid(self) -> AsyncIterator["Cable"]:
        """Lays the cable for the length of the block."""
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            self.cut()
            self._speaking.set()
            server.close()
            await asyncio.gather(*self._carrying, return_exceptions=True)

    def cut(self) -> None:
        """Breaks every connection, and refuses new ones until the cable is mended."""
        self.is_cut = True
        while self._writers:
            self._writers.pop().transport.abort()

    def mend(self) -> None:
        """Lets new connections through."""
        self.is_cut = False

    def hush(self) -> None:
        """Keeps every connection, and takes new ones, but carries nothing: as to a database that hangs."""
        self._speaking.clear()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        if self.is_cut:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        self._writers.append(far_writer)
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(self._carry(source, sink))
            self._carrying.add(task)
            task.add_done_callback(self._carrying.discard)

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while chunk := await source.read(65_536):
                await self._speaking.wait()
                sink.write(chunk)
                await sink.drain()
        sink.close()
