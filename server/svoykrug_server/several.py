"""Several servers as processes of one machine behind the same ports: `svoykrug serve --processes N`.

One server uses one core and a third. On a machine with more of them several processes listen on the same ports, and the
kernel gives each connection to one of them. They know of each other by PostgreSQL alone, as servers on several machines
do, so both stores are outside. Their parent starts them, starts again whichever ends, and passes on the wish to stop; a
process whose parent is gone stops by itself.
"""

import asyncio
import gc
import multiprocessing
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection

import structlog

from svoykrug_server.config import Settings
from svoykrug_server.kit.startup import CannotStart, ExitCode, cannot_listen
from svoykrug_server.process import Stopping, set_up_log, tell
from svoykrug_server.serve import greet, running
from svoykrug_server.storage.folder import explained
from svoykrug_server.storage.stores import load_secrets, open_folder

RESTART_SECONDS = 1.0
"""How long a process that ended stays away."""
_log = structlog.get_logger(__name__)
_spawning = multiprocessing.get_context("spawn")


async def serve_several(settings: Settings, processes: int) -> None:
    """Serves with some processes until this one is asked to stop, then lets all of them finish their calls.

    Args:
        settings: Every setting; process number n serves metrics, health and the doctor on `http_port` + n.
        processes: How many.

    Raises:
        CannotStart: Something is wrong that a person must mend; the line says what.
    """
    _refuse_embedded(settings)
    set_up_log(settings)
    folder = open_folder(settings)
    with explained(folder.path):
        load_secrets(settings, folder)  # made now, before several look for them
    stopping = Stopping()
    stopping.listen()
    with ExitStack() as closing:
        shared = settings.model_copy(update={"listen": closing.enter_context(_reserved(settings))})
        http_port = settings.http_port or _free_port(settings.http_host)
        closing.enter_context(folder.owned({"http_port": http_port}))
        ports = [http_port, *(http_port + number if settings.http_port else 0 for number in range(1, processes))]
        servers = [_Server(shared.model_copy(update={"http_port": port, "ready_file": None})) for port in ports]
        try:
            await asyncio.gather(*(server.start() for server in servers))
            if settings.ready_file is not None:
                tell(settings.ready_file, shared.listen, http_port)
            greet(settings, shared.listen, http_port)
            await _keep(servers, stopping)
        finally:
            await asyncio.gather(*(server.stop(stopping.at_once) for server in servers))


class _Server:
    """A process that serves.

    Args:
        settings: Its settings.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ended = asyncio.Event()
        self._ended.set()
        self._ours: Connection | None = None

    async def start(self) -> None:
        """Starts it and waits until it takes calls.

        Raises:
            CannotStart: It does not.
        """
        ours, theirs = _spawning.Pipe()
        self._ours = ours  # it is closed with this object's next process: the process sees by it that its parent lives
        self._process = _spawning.Process(target=_serve, args=(self._settings, theirs))
        self._ended = asyncio.Event()
        self._process.start()
        theirs.close()
        asyncio.get_running_loop().add_reader(self._process.sentinel, self._note_end)
        try:
            problem: tuple[str, ExitCode] | None = await asyncio.to_thread(ours.recv)
        except EOFError:
            problem = ("A server process ended while it started; its log says why.", ExitCode.SETTINGS)
        if problem is not None:
            raise CannotStart(*problem)

    async def keep(self) -> None:
        """Starts it again whenever it ends, until cancelled."""
        while True:
            await self._ended.wait()
            _log.error("server_process_ended", exit_code=self._process.exitcode)
            await asyncio.sleep(RESTART_SECONDS)
            try:
                await self.start()
            except CannotStart as problem:
                _log.error("server_process_not_started", reason=str(problem))

    async def stop(self, at_once: asyncio.Event) -> None:
        """Lets it finish its calls and waits for its end; once `at_once` is set, it is not to wait for them."""
        hurrying = asyncio.create_task(at_once.wait())
        ending = asyncio.create_task(self._ended.wait())
        if not self._ended.is_set():
            self._process.terminate()
            await asyncio.wait((hurrying, ending), return_when=asyncio.FIRST_COMPLETED)
        if not self._ended.is_set():
            self._process.terminate()
        await ending
        hurrying.cancel()

    def _note_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._process.sentinel)
        self._process.join()
        self._ended.set()


async def _keep(servers: Sequence[_Server], stopping: Stopping) -> None:
    """Keeps all of them running until there is a wish to stop."""
    keeping = [asyncio.create_task(server.keep()) for server in servers]
    await stopping.wanted.wait()
    for task in keeping:
        task.cancel()
    await asyncio.gather(*keeping, return_exceptions=True)


def _serve(settings: Settings, pipe: Connection) -> None:
    """Serves in this process until it is asked to stop or its parent is gone."""
    import uvloop  # noqa: PLC0415  only these processes need it

    gc.disable()  # until `keep_what_was_made`
    os.setsid()  # Ctrl-C in a terminal is the parent's, who passes it on: two wishes mean "at once"
    uvloop.run(_served(settings, pipe))


async def _served(settings: Settings, pipe: Connection) -> None:
    set_up_log(settings)
    stopping = Stopping()
    stopping.listen()
    loop = asyncio.get_running_loop()

    def parent_is_gone() -> None:
        loop.remove_reader(pipe.fileno())
        stopping.ask()

    loop.add_reader(pipe.fileno(), parent_is_gone)
    try:
        async with running(settings, stopping.at_once, one_of_several=True):
            pipe.send(None)
            await stopping.wanted.wait()
    except CannotStart as problem:
        pipe.send((str(problem), problem.exit_code))


@contextmanager
def _reserved(settings: Settings) -> Iterator[tuple[str, ...]]:
    """Holds the addresses for the length of the block, so that no other program takes them; gives the real ports.

    Raises:
        CannotStart: One of them is another program's, wrong, or cannot be shared.
    """
    from svoykrug_server.app import rpc_options  # noqa: PLC0415  imports drivers
    from svoykrug_server.rpc.listening import bound_socket, check_addresses  # noqa: PLC0415  as above

    check_addresses(rpc_options(settings))
    with ExitStack() as closing:
        held = []
        for address in settings.listen:
            if address.startswith("unix:"):
                raise CannotStart(f"{address} cannot be shared by processes. Set SVOYKRUG_LISTEN.", ExitCode.SETTINGS)
            try:
                holding = closing.enter_context(bound_socket(address, socket.SO_REUSEPORT))
            except OSError as error:
                raise cannot_listen(address, error, "SVOYKRUG_LISTEN to another address") from error
            held.append(f"{address.rpartition(':')[0]}:{holding.getsockname()[1]}")
        yield tuple(held)


def _free_port(host: str) -> int:
    with socket.create_server((host, 0)) as probe:
        return int(probe.getsockname()[1])


def _refuse_embedded(settings: Settings) -> None:
    """Refuses stores that several processes cannot share.

    Raises:
        CannotStart: A store is embedded.
    """
    if settings.clickhouse_url is None or settings.database_url is None:
        raise CannotStart(
            "`svoykrug serve --processes` needs SVOYKRUG_DATABASE_URL and SVOYKRUG_CLICKHOUSE_URL: embedded stores"
            " belong to one process.",
            ExitCode.SETTINGS,
        )
