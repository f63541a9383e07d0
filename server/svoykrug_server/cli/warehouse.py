"""`svoykrug warehouse`: what the operator may do with the analytics copy."""

import asyncio

import typer

from svoykrug_server.cli.problems import settings_of_environment
from svoykrug_server.config import Settings

warehouse = typer.Typer(help="Rebuild the analytics copy from PostgreSQL.", no_args_is_help=True)
_POLL_SECONDS = 0.2


@warehouse.callback()
def copy() -> None:
    """Rebuild the analytics copy from PostgreSQL."""


@warehouse.command()
def rebuild() -> None:
    """Write every purchase and refund of ClickHouse again from PostgreSQL, while the server goes on serving."""
    typer.echo(asyncio.run(_rebuild(settings_of_environment())))


async def _rebuild(settings: Settings) -> str:
    from rich.console import Console  # noqa: PLC0415  each command imports what it needs

    from svoykrug_server.kit.clock import SystemClock  # noqa: PLC0415  as above
    from svoykrug_server.purchases.pipeline_repository import PipelineRepository  # noqa: PLC0415  as above
    from svoykrug_server.purchases.rebuild import RebuildRequest  # noqa: PLC0415  as above
    from svoykrug_server.storage.stores import open_stores  # noqa: PLC0415  as above

    async with open_stores(settings) as stores:
        pipeline = PipelineRepository(settings.circle_time_zone)
        request = RebuildRequest(stores.postgres, pipeline, SystemClock())
        rebuild_id = await request.ask()
        with Console().status("The server rebuilds the warehouse; Ctrl-C stops only the waiting."):
            while not await request.is_done(rebuild_id):
                if not await request.anyone_ships():
                    return "No server is running: the next one rebuilds the warehouse when it starts."
                await asyncio.sleep(_POLL_SECONDS)
    return "The warehouse is rebuilt; every day of it is being proven again."
