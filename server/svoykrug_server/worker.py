"""Runs a worker as a process: the background work of the service, and nothing that takes calls.

Any number of workers may run beside any number of servers. Each job is single by its lease, its lock, or rows that two
never take, so that a worker that is killed at any point is followed by another.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import structlog
from prometheus_client import CollectorRegistry

from svoykrug_server.config import Settings
from svoykrug_server.kit.clock import SystemClock
from svoykrug_server.kit.startup import CannotStart, ExitCode
from svoykrug_server.kit.supervisor import Supervisor
from svoykrug_server.process import Stopping, examined, new_registry, open_side_by_side, set_up_log, tell
from svoykrug_server.rpc.observability import Observability
from svoykrug_server.storage.stores import Stores, open_folder

if TYPE_CHECKING:
    from svoykrug_server.parts import Foundation
    from svoykrug_server.storage.warehouse import Warehouse

_log = structlog.get_logger(__name__)


async def work(settings: Settings) -> None:
    """Works until the process is asked to stop; what it is at then is given back, and another goes on with it.

    Raises:
        CannotStart: Something is wrong that a person must mend; the line says what.
    """
    refuse_embedded(settings)
    set_up_log(settings)
    stopping = Stopping()
    stopping.listen()
    async with working(settings) as http_port:
        if settings.ready_file is not None:
            tell(settings.ready_file, (), http_port)
        _log.info("worker_ready", http=f"http://{settings.http_host}:{http_port}")
        await stopping.wanted.wait()
        _log.info("worker_stopping")


@asynccontextmanager
async def working(settings: Settings) -> AsyncIterator[int]:
    """Runs a worker for the length of the block, and gives the port of metrics, health and the doctor.

    At the end it stops the jobs, then the stores: what others stand on goes last.

    Raises:
        CannotStart: Something is wrong that a person must mend.
    """
    registry, supervisor = new_registry(), Supervisor()
    folder = open_folder(settings)
    foundations: list[Foundation] = []

    async def examine() -> Mapping[str, Any]:
        return {"addresses": [], **await examined(supervisor, foundations)}

    observability = Observability(registry, lambda: bool(foundations), examine)
    async with AsyncExitStack() as closing:
        http_port = observability.start(settings.http_host, settings.http_port)
        closing.push_async_callback(observability.stop)
        stores, warehouse = await open_side_by_side(closing, settings, folder)
        closing.push_async_callback(supervisor.stop)
        foundation = _composed(settings, stores, warehouse, registry, supervisor)
        foundations.append(foundation)
        yield http_port
        foundations.clear()


def refuse_embedded(settings: Settings) -> None:
    """Refuses what a worker cannot share with the servers.

    Raises:
        CannotStart: A store is embedded, or the secrets would be made up here.
    """
    if settings.clickhouse_url is None or settings.database_url is None:
        raise CannotStart(
            "`svoykrug worker` needs SVOYKRUG_DATABASE_URL and SVOYKRUG_CLICKHOUSE_URL: the embedded stores belong to"
            " `svoykrug serve` alone, which does the background work itself.",
            ExitCode.SETTINGS,
        )
    if settings.secrets is None and settings.secrets_dir is None and not any(settings.data_dir.glob("secrets/*.*")):
        raise CannotStart(
            "`svoykrug worker` needs the secrets of the servers: set SVOYKRUG_SECRETS_DIR or SVOYKRUG_SECRETS, or the"
            " SVOYKRUG_DATA_DIR of a server that has made them.",
            ExitCode.SETTINGS,
        )


def _composed(
    settings: Settings, stores: Stores, warehouse: "Warehouse", registry: CollectorRegistry, supervisor: Supervisor
) -> "Foundation":
    from svoykrug_server.app import compose_worker  # noqa: PLC0415  imported while the stores opened
    from svoykrug_server.parts import Foundation  # noqa: PLC0415  as above

    foundation = Foundation(settings, SystemClock(), stores.secrets, stores.postgres, warehouse, registry, supervisor)
    compose_worker(foundation)
    return foundation
