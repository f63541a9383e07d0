"""Runs the server as a process: opens the stores, serves until a signal, and stops in order."""

import asyncio
import importlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from rich.console import Console
from rich.panel import Panel

from svoykrug_server.config import Settings
from svoykrug_server.kit.clock import SystemClock
from svoykrug_server.kit.startup import CannotStart, ExitCode
from svoykrug_server.kit.supervisor import Supervisor
from svoykrug_server.rpc.logs import configure_logging
from svoykrug_server.rpc.observability import Observability
from svoykrug_server.storage.folder import write_atomically
from svoykrug_server.storage.stores import Stores, open_folder, open_stores, open_warehouse

if TYPE_CHECKING:
    from svoykrug_server.app import Foundation
    from svoykrug_server.rpc.server import RpcServer
    from svoykrug_server.storage.warehouse import Warehouse

_log = structlog.get_logger(__name__)
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True)
class Running:
    """A server that takes calls.

    Attributes:
        server: The gRPC server.
        http_port: Where metrics, health and the doctor are served.
    """

    server: "RpcServer"
    http_port: int


class Stopping:
    """Two wishes of whoever runs the process: to stop, and to stop at once."""

    def __init__(self) -> None:
        self.wanted = asyncio.Event()
        self.at_once = asyncio.Event()

    def ask(self) -> None:
        """Asks to stop; asked again, to stop at once."""
        if self.wanted.is_set():
            self.at_once.set()
        self.wanted.set()

    def listen(self) -> None:
        """Takes SIGTERM and SIGINT (Ctrl-C) for wishes to stop."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self.ask)


async def serve(settings: Settings) -> None:
    """Serves until the process is asked to stop, then finishes the calls in progress.

    Raises:
        CannotStart: Something is wrong that a person must mend; the line says what.
    """
    human = settings.log_format == "human" or (settings.log_format == "auto" and sys.stderr.isatty())
    configure_logging(human=human, level=settings.log_level)
    stopping = Stopping()
    stopping.listen()
    async with running(settings, stopping.at_once) as started:
        if settings.ready_file is not None:
            _tell(settings.ready_file, started)
        greet(settings, started)
        await stopping.wanted.wait()


@asynccontextmanager
async def running(settings: Settings, at_once: asyncio.Event) -> AsyncIterator[Running]:
    """Runs a server for the length of the block.

    At the end it says NOT_SERVING, finishes calls, then stops jobs, then the stores: what others stand on goes last.

    Args:
        settings: Every setting.
        at_once: When it is set, the end waits for no call.

    Raises:
        CannotStart: Something is wrong that a person must mend.
    """
    registry = _registry()
    supervisor = Supervisor()
    servers: list[RpcServer] = []
    folder = open_folder(settings)

    foundations: list[Foundation] = []

    async def examine() -> Mapping[str, Any]:
        return {"addresses": [a for s in servers for a in s.addresses], **await _examined(supervisor, foundations)}

    observability = Observability(registry, lambda: any(server.is_ready for server in servers), examine)
    async with AsyncExitStack() as closing:
        http_port = observability.start(settings.http_host, settings.http_port)
        closing.push_async_callback(observability.stop)
        closing.enter_context(folder.owned({"http_port": http_port}))
        stores, warehouse = await _open_side_by_side(closing, open_stores(settings), open_warehouse(settings, folder))
        closing.push_async_callback(supervisor.stop)
        foundation, server = await _composed(settings, stores, warehouse, registry, supervisor)
        foundations.append(foundation)
        await server.start()
        closing.push_async_callback(server.stop, at_once)
        servers.append(server)
        yield Running(server, http_port)


def greet(settings: Settings, started: Running) -> None:
    """Tells a person where the server is and how to call it."""
    address = started.server.addresses[0]
    secure = settings.tls_certificate is not None
    target = f"https://{address}" if secure else f"--http2-prior-knowledge http://{address}"
    lines = [
        f"[bold]gRPC[/]  {', '.join(started.server.addresses)}",
        f"[bold]HTTP[/]  http://{settings.http_host}:{started.http_port} /metrics /healthz /readyz /doctor",
        f"[bold]data[/]  {settings.data_dir}",
    ]
    console = Console(soft_wrap=True, highlight=False)
    console.print(Panel.fit("\n".join(lines), title="Свой Круг is ready", border_style="green", padding=(0, 2)))
    console.print(f"  List the methods:  buf curl --protocol grpc --list-methods {target}", style="dim")
    console.print("  Ctrl-C stops it once its calls are answered; a second Ctrl-C stops it at once.\n", style="dim")


async def _open_side_by_side(
    closing: AsyncExitStack,
    opening_stores: AbstractAsyncContextManager[Stores],
    opening_warehouse: "AbstractAsyncContextManager[Warehouse]",
) -> "tuple[Stores, Warehouse]":
    """Opens PostgreSQL while ClickHouse opens and Python imports the features.

    When one store fails the other is still awaited, so that it can be closed.
    """
    stores, warehouse, _ = await asyncio.gather(
        closing.enter_async_context(opening_stores),
        closing.enter_async_context(opening_warehouse),
        _import_features(),
        return_exceptions=True,
    )
    if isinstance(stores, BaseException):
        raise stores
    if isinstance(warehouse, BaseException):
        raise warehouse
    return stores, warehouse


async def _import_features() -> None:
    """Imports the composition root and all below it; the stores start in other threads and processes meanwhile."""
    importlib.import_module("svoykrug_server.app")


async def _composed(
    settings: Settings, stores: Stores, warehouse: "Warehouse", registry: CollectorRegistry, supervisor: Supervisor
) -> "tuple[Foundation, RpcServer]":
    from svoykrug_server.app import Foundation, compose  # noqa: PLC0415  imported while the stores opened

    foundation = Foundation(settings, SystemClock(), stores.secrets, stores.postgres, warehouse, registry, supervisor)
    return foundation, await compose(foundation)


async def _examined(supervisor: Supervisor, foundations: "Sequence[Foundation]") -> dict[str, object]:
    """Returns what the doctor asks of this process and, once they are open, of its stores."""
    from svoykrug_server.storage.examination import (  # noqa: PLC0415  imports the stores' drivers
        examine_postgres,
        examine_warehouse,
    )

    jobs = {
        name: {"running": job.running or job.done, "failures": job.failures} for name, job in supervisor.states.items()
    }
    facts: dict[str, object] = {"pid": os.getpid(), "jobs": jobs}
    for foundation in foundations:
        facts["postgres"], facts["warehouse"] = await asyncio.gather(
            examine_postgres(foundation.postgres, foundation.clock), examine_warehouse(foundation.warehouse)
        )
    return facts


def _registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def _tell(file: Path, started: Running) -> None:
    """Writes what a program that started the server needs to know of it."""
    facts = {"pid": os.getpid(), "addresses": list(started.server.addresses), "http_port": started.http_port}
    try:
        write_atomically(file, json.dumps(facts), mode=0o644)
    except OSError as error:
        why = f"SVOYKRUG_READY_FILE: {file} cannot be written: {error.strerror}."
        raise CannotStart(why, ExitCode.SETTINGS) from error
