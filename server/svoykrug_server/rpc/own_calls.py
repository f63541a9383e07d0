"""How long calls wait for the event loop to take them, measured by calls that the server makes to itself."""

import asyncio
import tempfile
from asyncio import Task
from collections import deque
from secrets import token_hex
from time import perf_counter
from typing import Any

import grpc
import structlog

from svoykrug_server.kit.startup import CannotStart, ExitCode
from svoykrug_server.rpc.shedding import Shedding

_log = structlog.get_logger("svoykrug_server.rpc")
EVERY_SECONDS = 0.1
"""How often the wait is measured while calls come; while none come, nothing waits."""
MOST_OPEN = 100
"""How many own calls may wait at once."""


class OwnCalls:
    """Calls the server on a socket of its own, and tells `Shedding` how long these calls waited.

    Such a call stands in the same queue as all others, whatever port those came by, and never reaches another process.
    The socket lies in a folder that only this user may enter, and the method has a random name that others do not know.
    No step is around it: it is neither counted nor logged. Where own calls fail, nothing is shed.

    Args:
        server: The server, before it starts.
        shedding: Who is told the wait.

    Raises:
        CannotStart: There is no folder for the socket.
    """

    def __init__(self, server: grpc.aio.Server, shedding: Shedding) -> None:
        self.path = f"/svoykrug/{token_hex(16)}"
        self.handler: grpc.RpcMethodHandler[Any, Any] = grpc.stream_stream_rpc_method_handler(self._take)
        self._shedding = shedding
        self._folder, self._target = _listen(server)
        self._sent: deque[float] = deque()
        self._seconds = 0.0
        self._open: set[Task[None]] = set()
        self._measuring: Task[None] | None = None

    def start(self) -> None:
        """Begins to measure; the server has been started."""
        self._measuring = asyncio.create_task(self._measure_on())

    async def stop(self) -> None:
        """Measures no more, and hangs up."""
        if self._measuring is not None:
            self._measuring.cancel()
            await asyncio.wait([self._measuring])
        if self._open:
            await asyncio.wait(self._open)
        self._folder.cleanup()

    async def _measure_on(self) -> None:
        try:
            await self._measure()
        except Exception as error:  # noqa: BLE001  whatever it was, calls are let through from now on
            _log.error("own calls ended", exc_info=error)
        finally:
            self._shedding.share = 1.0

    async def _measure(self) -> None:
        shedding = self._shedding
        async with grpc.aio.insecure_channel(self._target) as channel:
            method: Any = channel.unary_stream(self.path)
            while True:
                await asyncio.sleep(EVERY_SECONDS)
                now = perf_counter()
                if not shedding.came and not self._sent:
                    self._seconds = 0.0
                elif len(self._open) < MOST_OPEN:
                    task = asyncio.create_task(self._call(method, now))
                    self._open.add(task)
                    task.add_done_callback(self._open.discard)
                # The one that waits longest tells of a queue that grows before it is taken.
                shedding.measured(max(self._seconds, now - self._sent[0] if self._sent else 0.0), now)

    async def _call(self, method: Any, now: float) -> None:
        self._sent.append(now)
        code = await method(b"").code()
        if now in self._sent:  # it was not taken
            self._sent.remove(now)
            if code is grpc.StatusCode.UNAVAILABLE:  # nobody knows how long calls wait
                self._seconds, self._shedding.share = 0.0, 1.0

    async def _take(self, _requests: object, _context: object) -> None:
        self._shedding.came -= 1
        if self._sent:
            self._seconds = perf_counter() - self._sent.popleft()


def _listen(server: grpc.aio.Server) -> tuple["tempfile.TemporaryDirectory[str]", str]:
    """Opens a socket in a folder of its own; the path of a socket must be short."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="svoykrug-own-")
        target = f"unix:{folder.name}/socket"
        server.add_insecure_port(target)
    except (OSError, RuntimeError) as error:
        why = f"Cannot open a socket in {tempfile.gettempdir()}. Set TMPDIR to a folder with a short path."
        raise CannotStart(why, ExitCode.SETTINGS) from error
    return folder, target
