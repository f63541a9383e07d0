"""Runs the server as a process: opens the stores, serves until a signal, and stops in order."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from prometheus_client import CollectorRegistry
from rich.console import Console
from rich.panel import Panel

from svoykrug_server.config import Settings
from svoykrug_server.kit.clock import SystemClock
from svoykrug_server.kit.startup import CannotStart, ExitCode
from svoykrug_server.kit.supervisor import Supervisor
from svoykrug_server.process import (
    Stopping,
    examined,
    keep_what_was_made,
    new_registry,
    open_side_by_side,
    set_up_log,
    tell,
)
from svoykrug_server.rpc.observability import Observability
from svoykrug_server.storage.stores import Stores, open_folder

if TYPE_CHECKING:
    from svoykrug_server.parts import Foundation
    from svoykrug_server.rpc.server import RpcServer
    from svoykrug_server.storage.warehouse import Warehouse

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Running:
    """A server that takes calls.

    Attributes:
        server: The gRPC server.
        http_port: Where metrics, health and the doctor are served.
        gateway: Where the gateway takes calls; empty when there is none.
    """

    server: "RpcServer"
    http_port: int
    gateway: str


async def serve(settings: Settings, *, with_gateway: bool = False) -> None:
    """Serves until the process is asked to stop, then finishes the calls in progress.

    Args:
        settings: Every setting.
        with_gateway: Whether Envoy runs before the server, where this machine has one.

    Raises:
        CannotStart: Something is wrong that a person must mend; the line says what.
    """
    set_up_log(settings)
    stopping = Stopping()
    stopping.listen()
    async with running(settings, stopping.at_once, with_gateway=with_gateway) as started:
        if settings.ready_file is not None:
            tell(settings.ready_file, started.server.addresses, started.http_port, started.gateway)
        greet(settings, started.server.addresses, started.http_port, started.gateway)
        await stopping.wanted.wait()


@asynccontextmanager
async def running(
    settings: Settings, at_once: asyncio.Event, *, with_gateway: bool = False, one_of_several: bool = False
) -> AsyncIterator[Running]:
    """Runs a server for the length of the block.

    At the end the gateway sends callers elsewhere, the server says NOT_SERVING and finishes calls, then the gateway
    ends, then jobs, then the stores: what others stand on goes last.

    Args:
        settings: Every setting.
        at_once: When it is set, the end waits for no call.
        with_gateway: Whether Envoy runs before the server, where this machine has one.
        one_of_several: Whether it shares its ports with other processes, and the data folder is their parent's.

    Raises:
        CannotStart: Something is wrong that a person must mend.
    """
    registry = new_registry()
    supervisor = Supervisor()
    servers: list[RpcServer] = []
    folder = open_folder(settings)

    foundations: list[Foundation] = []

    async def examine() -> Mapping[str, Any]:
        return {"addresses": [a for s in servers for a in s.addresses], **await examined(supervisor, foundations)}

    observability = Observability(registry, lambda: any(server.is_ready for server in servers), examine)
    async with AsyncExitStack() as closing:
        http_port = observability.start(settings.http_host, settings.http_port)
        closing.push_async_callback(observability.stop)
        if not one_of_several:
            closing.enter_context(folder.owned({"http_port": http_port}))
        stores, warehouse = await open_side_by_side(closing, settings, folder)
        closing.push_async_callback(supervisor.stop)
        served = settings.behind_own_gateway() if with_gateway else settings
        foundation = _foundation(served, stores, warehouse, registry, supervisor)
        server = await _composed(foundation, shares_ports=one_of_several)
        foundations.append(foundation)
        keep_what_was_made()
        await server.start()
        closing.push_async_callback(server.stop, at_once)
        servers.append(server)
        gateway = await _gateway_before(server, settings, at_once, closing) if with_gateway else ""
        yield Running(server, http_port, gateway)


def greet(settings: Settings, addresses: Sequence[str], http_port: int, gateway: str = "") -> None:
    """Tells a person where the server is and how to call it.

    Args:
        settings: Every setting.
        addresses: Where it takes calls.
        http_port: Where metrics, health and the doctor are served.
        gateway: Where its gateway takes calls; empty when it has none.
    """
    address = addresses[0]
    secure = settings.tls_certificate is not None
    target = f"https://{address}" if secure else f"--http2-prior-knowledge http://{address}"
    lines = [
        f"[bold]gRPC[/]  {', '.join(addresses)}",
        f"[bold]HTTP[/]  http://{settings.http_host}:{http_port} /metrics /healthz /readyz /doctor",
        f"[bold]data[/]  {settings.data_dir}",
    ]
    if gateway:
        scheme = "http" if settings.gateway_tls_certificate is None else "https"
        shown = "/docs/ and JSON, gRPC-Web, /openapi.json" if settings.gateway_docs else " JSON, gRPC-Web"
        lines.insert(1, f"[bold]web[/]   {scheme}://{gateway}{shown}")
    console = Console(soft_wrap=True, highlight=False)
    console.print(Panel.fit("\n".join(lines), title="Свой Круг is ready", border_style="green", padding=(0, 2)))
    console.print(f"  List the methods:  buf curl --protocol grpc --list-methods {target}", style="dim")
    console.print("  Ctrl-C stops it once its calls are answered; a second Ctrl-C stops it at once.\n", style="dim")


async def _gateway_before(
    server: "RpcServer", settings: Settings, at_once: asyncio.Event, closing: AsyncExitStack
) -> str:
    """Runs the gateway until `closing` ends it, after the server; returns where it listens: nowhere without Envoy."""
    from svoykrug_server.gateway.starting import NOT_FOUND, find_envoy, open_gateway  # noqa: PLC0415  only when asked

    if settings.tls_certificate is not None:
        raise CannotStart(
            "The gateway beside a server calls it without TLS. Set SVOYKRUG_GATEWAY_TLS_CERTIFICATE and _KEY instead "
            "of SVOYKRUG_TLS_CERTIFICATE and _KEY, or run `svoykrug gateway` apart.",
            ExitCode.SETTINGS,
        )
    envoy = find_envoy(settings)
    if envoy is None:
        _log.warning("gateway_missing", reason=NOT_FOUND)
        return ""
    gateway = await closing.enter_async_context(open_gateway(settings, envoy, server.addresses))
    closing.push_async_callback(server.stop, at_once)
    closing.push_async_callback(gateway.announce_stop)
    return gateway.address


def _foundation(
    settings: Settings, stores: Stores, warehouse: "Warehouse", registry: CollectorRegistry, supervisor: Supervisor
) -> "Foundation":
    from svoykrug_server.parts import Foundation  # noqa: PLC0415  imported while the stores opened

    return Foundation(settings, SystemClock(), stores.secrets, stores.postgres, warehouse, registry, supervisor)


async def _composed(foundation: "Foundation", *, shares_ports: bool) -> "RpcServer":
    from svoykrug_server.app import compose  # noqa: PLC0415  imported while the stores opened

    return await compose(foundation, shares_ports=shares_ports)
