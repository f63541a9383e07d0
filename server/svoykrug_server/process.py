"""What every process of ours has, server or worker: its log, signals and stores, and what the doctor asks of it."""

import asyncio
import gc
import importlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from svoykrug_server.config import Settings
from svoykrug_server.kit.memory import return_large_blocks
from svoykrug_server.kit.startup import CannotStart, ExitCode
from svoykrug_server.kit.supervisor import Supervisor
from svoykrug_server.rpc.logs import configure_logging
from svoykrug_server.storage.folder import DataFolder, write_atomically
from svoykrug_server.storage.stores import Stores, open_stores, open_warehouse, want_rebuild_of_shipped

if TYPE_CHECKING:
    from svoykrug_server.parts import Foundation
    from svoykrug_server.storage.warehouse import Warehouse

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


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


def set_up_log(settings: Settings) -> None:
    """Logs as the settings say: for a person, or a JSON object a line."""
    human = settings.log_format == "human" or (settings.log_format == "auto" and sys.stderr.isatty())
    configure_logging(human=human, level=settings.log_level)


async def open_side_by_side(
    closing: AsyncExitStack, settings: Settings, folder: DataFolder
) -> "tuple[Stores, Warehouse]":
    """Opens PostgreSQL while ClickHouse opens and Python imports; an empty ClickHouse is made when PostgreSQL is there.

    When one store fails the other is still awaited, so that it can be closed.
    """
    return_large_blocks()
    opening = asyncio.ensure_future(closing.enter_async_context(open_stores(settings)))

    async def was_filled() -> bool:
        return await want_rebuild_of_shipped((await asyncio.shield(opening)).postgres)

    stores, warehouse, _ = await asyncio.gather(
        opening,
        closing.enter_async_context(open_warehouse(settings, folder, was_filled=was_filled)),
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


async def examined(supervisor: Supervisor, foundations: "Sequence[Foundation]") -> dict[str, object]:
    """Returns what the doctor asks of this process and, once they are open, of its stores."""
    from svoykrug_server.operations.schedule.examination import examine_schedule  # noqa: PLC0415  imports drivers
    from svoykrug_server.parts import jobs_service  # noqa: PLC0415  as above
    from svoykrug_server.storage.examination import examine_postgres, examine_warehouse  # noqa: PLC0415  as above

    jobs = {
        name: {"running": job.running or job.done, "failures": job.failures} for name, job in supervisor.states.items()
    }
    facts: dict[str, object] = {"pid": os.getpid(), "jobs": jobs}
    for foundation in foundations:
        jobs_of_schedule = jobs_service(foundation.settings, foundation.postgres, foundation.clock)
        facts["postgres"], facts["warehouse"], facts["schedule"] = await asyncio.gather(
            examine_postgres(foundation.postgres, foundation.clock),
            examine_warehouse(foundation.warehouse),
            examine_schedule(jobs_of_schedule, foundation.clock),
        )
    return facts


def keep_what_was_made() -> None:
    """Hides what there is from the garbage collector: modules, contracts and parts live as long as the process.

    It would look through all of it every few thousand calls, and nobody is answered meanwhile (docs/performance.md).
    A start pauses it for the same reason, and ends here; some 2,000 objects that are garbage by now are hidden too.
    """
    gc.freeze()
    gc.enable()


def tell(file: Path, addresses: Sequence[str], http_port: int, gateway: str = "") -> None:
    """Writes what a program that started this process needs to know of it.

    Args:
        file: Where to.
        addresses: Where it takes calls.
        http_port: Where metrics, health and the doctor are served.
        gateway: Where its gateway takes calls; empty when it has none.

    Raises:
        CannotStart: The file cannot be written.
    """
    facts = {"pid": os.getpid(), "addresses": list(addresses), "http_port": http_port, "gateway": gateway}
    try:
        write_atomically(file, json.dumps(facts), mode=0o644)
    except OSError as error:
        why = f"SVOYKRUG_READY_FILE: {file} cannot be written: {error.strerror}."
        raise CannotStart(why, ExitCode.SETTINGS) from error


def new_registry() -> CollectorRegistry:
    """Returns a registry of metrics that holds those of the process itself."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry
