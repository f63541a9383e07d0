"""The command line: `svoykrug serve | gateway | worker | migrate | doctor | admin | keys | warehouse`.

Every command imports what it needs when it runs, so that `--help` and the start of the server are quick. Whatever a
person must mend is one line on standard error and an exit code (`kit/startup.py`), never a traceback.
"""

import asyncio
import gc
from typing import Annotated

import typer

from svoykrug_server.cli.admin import admin
from svoykrug_server.cli.keys import keys
from svoykrug_server.cli.problems import explained, settings_of_environment
from svoykrug_server.cli.warehouse import warehouse

app = typer.Typer(
    help="Свой Круг: sign-in, users, purchases and analytics of a loyalty circle, over gRPC.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.add_typer(admin, name="admin")
app.add_typer(keys, name="keys")
app.add_typer(warehouse, name="warehouse")


@app.command()
def serve(
    gateway: Annotated[
        bool, typer.Option("--gateway", help="Also run Envoy before it, for browsers, JSON and the documentation.")
    ] = False,
    processes: Annotated[
        int, typer.Option(min=1, help="How many processes share its ports; more than one need both stores by URL.")
    ] = 1,
) -> None:
    """Start the server; without configuration it brings its own PostgreSQL and ClickHouse."""
    if processes == 1:
        gc.disable()  # until `keep_what_was_made`: it would look through the same modules again and again
    settings = settings_of_environment()
    import uvloop  # noqa: PLC0415  each command imports what it needs

    if processes > 1:
        from svoykrug_server.several import serve_several  # noqa: PLC0415  as above

        if gateway:
            raise typer.BadParameter("Before several processes run `svoykrug gateway` apart.", param_hint="--gateway")
        uvloop.run(serve_several(settings, processes))
        return
    from svoykrug_server.serve import serve as serve_until_signal  # noqa: PLC0415  as above

    uvloop.run(serve_until_signal(settings, with_gateway=gateway))


@app.command()
def gateway() -> None:
    """Run Envoy before servers that run elsewhere, for browsers, JSON and the documentation."""
    settings = settings_of_environment()
    import uvloop  # noqa: PLC0415  each command imports what it needs

    from svoykrug_server.cli.gateway import run_gateway  # noqa: PLC0415  as above

    uvloop.run(run_gateway(settings))


@app.command()
def worker() -> None:
    """Do the background work beside servers, on PostgreSQL and ClickHouse by URL; any number of workers may run."""
    settings = settings_of_environment()
    import uvloop  # noqa: PLC0415  each command imports what it needs

    from svoykrug_server.worker import work  # noqa: PLC0415  as above

    uvloop.run(work(settings))


@app.command()
def migrate() -> None:
    """Bring both stores to the newest schema; the server does so too when it starts."""
    settings = settings_of_environment()
    from svoykrug_server.cli.migrate import migrate_stores  # noqa: PLC0415  each command imports what it needs

    for line in asyncio.run(migrate_stores(settings)):
        typer.echo(line)


@app.command()
def doctor() -> None:
    """Say what the service runs on, how far behind it is, and what is wrong; exit code 1 when something is."""
    settings = settings_of_environment()
    from rich.console import Console  # noqa: PLC0415  each command imports what it needs

    from svoykrug_server.cli.doctor import diagnose  # noqa: PLC0415  as above

    is_well = asyncio.run(diagnose(settings, Console()))
    raise typer.Exit(0 if is_well else 1)


def main() -> None:
    """Runs the command that the arguments name, and ends the process with its exit code."""
    with explained():
        app()
